"""Checkpoints of torch are read as tensors and nothing else: nothing in a file is ever run."""

import collections
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.errors import ModelFileError
from model.pth_file import PthFile

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
CODE = "holds code or objects besides tensors; none of it was run"


def refusal(path: Path) -> str:
    """What the reader says, which must be one line that begins with the file."""
    with pytest.raises(ModelFileError) as error:
        PthFile(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path)).lstrip(": ")


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_tensors_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(saved(collections.OrderedDict(TENSORS) | {"c": TENSORS["a"].t()}))
    file = PthFile(path)
    assert file.tensors == {"a": (2, 3), "b": (4,), "c": (3, 2)}
    for name, tensor in TENSORS.items():
        assert torch.equal(file.tensor(name), tensor) and file.tensor(name).dtype == tensor.dtype


class Bomb:
    """An object whose pickle runs a function when it is read."""

    def __init__(self, function: Callable[..., Any], argument: str) -> None:
        self.reduced = function, (argument,)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self.reduced


@pytest.mark.parametrize("where", ["value", "beside", "key"])
@pytest.mark.parametrize("function", [os.system, eval, torch.load])
def test_code_is_not_run(tmp_path: Path, function: Callable[..., Any], where: str) -> None:
    victim = tmp_path / "made_by_the_file"
    argument = {os.system: f"touch {victim}", eval: f"open({str(victim)!r}, 'w')"}.get(function, str(victim))
    bomb = Bomb(function, argument)
    value: Any = {"value": bomb, "beside": TENSORS | {"z": bomb}, "key": {(bomb,): TENSORS["a"]}}[where]
    path = tmp_path / "m.pth"
    path.write_bytes(saved(value))
    assert refusal(path) == CODE
    assert not victim.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bare_pickle_is_not_looked_into(tmp_path: Path, legacy: bool) -> None:
    victim = tmp_path / "made_by_the_file"
    path = tmp_path / "m.pth"
    if legacy:
        torch.save({"a": Bomb(os.system, f"touch {victim}")}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps({"a": Bomb(os.system, f"touch {victim}")}))
    assert refusal(path).startswith("is not an archive as torch.save writes it (it starts with b'\\x80")
    assert not victim.exists()


def test_a_whole_module_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(saved(torch.nn.Linear(2, 2)))
    assert refusal(path) == CODE


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([TENSORS["a"]], "holds a list, expected named tensors"),
        (TENSORS["a"], "holds a Tensor, expected named tensors"),
        ({}, "holds a dict, expected named tensors"),
        ({"state_dict": TENSORS}, "state_dict is a dict, expected a tensor"),
        (TENSORS | {"epoch": 3}, "epoch is a int, expected a tensor"),
        ({1: TENSORS["a"]}, "1 is no name of a tensor"),
        ({"a": torch.arange(3)}, "tensor a is torch.int64, expected f32, f16 or bf16"),
        ({"a": torch.ones(2, 2).to_sparse()}, "tensor a is torch.float32, expected f32, f16 or bf16"),
        ({"a": torch.ones(1).expand(1 << 40)}, "tensor a of (1099511627776,) has fewer values than that in the file"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, value: Any, message: str) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(saved(value))
    assert refusal(path) == message


def test_a_missing_or_empty_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.pth").startswith("cannot be read as a torch checkpoint: ")
    (tmp_path / "empty.pth").write_bytes(b"")
    assert refusal(tmp_path / "empty.pth") == "is not an archive as torch.save writes it (it starts with b'')"


fuzz = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(share=st.floats(0.01, 1, exclude_max=True))
def test_truncation_is_reported(tmp_path: Path, share: float) -> None:
    path = tmp_path / "m.pth"
    content = saved(TENSORS)
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path).startswith("cannot be read as a torch checkpoint: ")


@fuzz
@given(data=st.data())
def test_damage_is_reported_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(saved(TENSORS))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, len(damaged) - 1))
        value = data.draw(st.binary(min_size=1, max_size=4))
        damaged[at : at + len(value)] = value
    path = tmp_path / "m.pth"
    path.write_bytes(damaged)
    try:
        file = PthFile(path)
    except ModelFileError as error:
        assert "\n" not in str(error)
    else:
        assert all(file.tensor(name).sum().dim() == 0 for name in file.tensors)


def test_a_storage_that_claims_more_than_the_archive_has(tmp_path: Path) -> None:
    """The pickle says how long a storage is; the archive has less."""
    source = zipfile.ZipFile(io.BytesIO(saved({"a": torch.ones(1000)})))
    path = tmp_path / "m.pth"
    with zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                assert content.count(b"M\xe8\x03") == 2  # 1000 values, in the storage and in the shape
                content = content.replace(b"M\xe8\x03", b"J\xe8\x03\xff\x7f")
            target.writestr(name, content)
    assert refusal(path).startswith("cannot be read as a torch checkpoint: ")

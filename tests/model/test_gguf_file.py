"""The reader agrees with the gguf package, and turns any damaged file into a ModelFileError."""

from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import TinyFile

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.loader import load_model

VARIANT = "mixed, partial rope"
fuzz = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def content(tiny_file: Callable[[str], TinyFile]) -> bytes:
    return tiny_file(VARIANT).path.read_bytes()


def test_agrees_with_the_gguf_package(any_tiny_file: TinyFile) -> None:
    ours, theirs = GGUFFile(any_tiny_file.path), gguf.GGUFReader(any_tiny_file.path)
    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata == fields
    assert ours.tensors.keys() == any_tiny_file.tensors.keys()
    for name, info in ours.tensors.items():
        assert torch.equal(ours.dense(info, torch.float32), any_tiny_file.tensors[name])


@fuzz
@given(share=st.floats(0, 1, exclude_max=True))
def test_truncation_is_reported(tmp_path: Path, content: bytes, share: float) -> None:
    path = tmp_path / "short.gguf"
    last = content.rstrip(b"\0")  # the writer pads behind the last tensor
    path.write_bytes(last[: int(share * len(last))])
    with pytest.raises(ModelFileError) as error:
        GGUFFile(path)
    assert "\n" not in str(error.value)


@fuzz
@given(data=st.data())
def test_damage_is_reported_or_harmless(tmp_path: Path, content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(content)
    header = content.index(b"output_norm.weight") + 200
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, header))
        value = data.draw(st.binary(min_size=1, max_size=8))
        damaged[at : at + len(value)] = value
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    try:
        load_model(path)
    except ModelFileError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04 a zip archive", "not a GGUF file"),
        (b"GGUF\x00\x00\x00\x03" + bytes(16), "version 50331648 is not supported"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, "truncated or damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message):
        GGUFFile(path)


def test_unknown_tensor_types_are_named(tmp_path: Path, content: bytes) -> None:
    name = b"blk.1.ffn_up.weight"
    at = content.index(name) + len(name) + 4 + 2 * 8
    path = tmp_path / "unknown.gguf"
    path.write_bytes(content[:at] + (213).to_bytes(4, "little") + content[at + 4 :])
    with pytest.raises(ModelFileError, match=r"tensor 'blk.1.ffn_up.weight' is of unknown type 213"):
        GGUFFile(path)

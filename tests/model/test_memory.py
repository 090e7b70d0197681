"""Saved sequences: what is written comes back, anything else is refused in one line."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.errors import ModelFileError
from model.fingerprint import model_fingerprint
from model.memory import SavedSequence, is_saved_sequence, load_sequence, save_sequence

SAVED = SavedSequence((3, 1, 2), {"k": torch.randn(2, 3), "v": torch.randn(4).bfloat16()})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_sequence(tmp_path / "a", SAVED, "layout", "model")
    loaded = load_sequence(tmp_path / "a", "layout", "model")
    assert loaded.tokens == SAVED.tokens and loaded.tensors.keys() == SAVED.tensors.keys()
    assert all(loaded.tensors[name].equal(SAVED.tensors[name]) for name in SAVED.tensors)
    assert is_saved_sequence(tmp_path / "a") and [path.name for path in tmp_path.iterdir()] == ["a"]


def with_metadata(**changes: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        header["__metadata__"] |= changes
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + size :]

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"", "cannot be read"),
        (lambda content: content[:-1], "cannot be read"),
        (lambda content: content[:40], "cannot be read"),
        (lambda content: b"\xff" * 8 + content[8:], "cannot be read"),
        (with_metadata(format="other"), "no saved sequence"),
        (with_metadata(layout="other"), "laid out as 'other', this model needs 'layout'"),
        (with_metadata(model="other"), "with the model 'other', this one is 'model'"),
        (with_metadata(tokens="1 -2"), "tokens is damaged"),
        (with_metadata(tokens="1 ²"), "tokens is damaged"),
        (with_metadata(tokens="9" * 5000), "tokens is damaged"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes], words: str) -> None:
    path = tmp_path / "a"
    save_sequence(path, SAVED, "layout", "model")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelFileError, match=words) as refusal:
        load_sequence(path, "layout", "model")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["/", ".", "missing/a", "a\0b", "a" * 300])
def test_a_path_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        save_sequence(tmp_path / name, SAVED, "layout", "model")
    with pytest.raises(ModelFileError, match="cannot be read"):
        load_sequence(tmp_path / name, "layout", "model")
    assert not is_saved_sequence(tmp_path / name)


def test_a_fingerprint_is_of_the_weights_and_not_of_the_place(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        save_file(SAVED.tensors, str(tmp_path / folder / "model.safetensors"))
        (tmp_path / folder / "model.safetensors.index.json").write_text("{}")
    changed = {name: tensor + 1 for name, tensor in SAVED.tensors.items()}
    save_file(changed, str(tmp_path / "c"))
    names = ["a", "b", "a/model.safetensors", "b/model.safetensors.index.json"]
    assert len({model_fingerprint(tmp_path / name) for name in names}) == 1
    assert model_fingerprint(tmp_path / "c") != model_fingerprint(tmp_path / "a")
    with pytest.raises(ModelFileError, match="missing cannot be read"):
        model_fingerprint(tmp_path / "missing")

"""An RWKV-7 loads from every kind of file with the tokenizer and the chat template that belong to it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_model import CHATML, TinyFile
from tiny_rwkv7 import VOCABULARY, tiny_rwkv7, write_fla, write_gguf, write_pth, write_safetensors

from kernels.ops import load_ops
from model.errors import ModelFileError
from model.executor import ModelExecutor
from model.gguf_file import GGUFFile
from model.gguf_vocabulary import vocabulary_from_gguf
from model.loader import LoadedModel, load_encoder, load_model
from model.rwkv7_model import Rwkv7
from model.sequence_step import SequenceStep
from model.state_cache import StateCache
from model.token_encoder import SubwordEncoder
from model.world_encoder import WORLD_SIZE, WorldEncoder

PIECES = [b"<s>", *(bytes([byte]) for byte in range(256)), b"the", b"\n\n", b"User", b"Assistant", b" the"]
TOKENS = [5, 17, 250, 99, 3, 3, 42]


def logits(loaded: LoadedModel) -> torch.Tensor:
    assert isinstance(loaded.model, Rwkv7)
    cache = StateCache(loaded.model.config, 1, 0, torch.device("cpu"))
    step = [SequenceStep(TOKENS, 0, [0], len(TOKENS))]
    return ModelExecutor(loaded.model, cache, load_ops("reference")).step(step).clone()


@pytest.fixture
def folder(tiny_file: Callable[[str], TinyFile], tmp_path: Path) -> Path:
    """A folder with the tokenizer of another tiny model in it."""
    tokenizer = vocabulary_from_gguf(GGUFFile(tiny_file("q4_0 grouped untied").path)).tokenizer
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_all_kinds_of_file_give_the_same_logits(folder: Path) -> None:
    tensors = tiny_rwkv7(vocabulary=264)
    paths = [
        write_pth(folder / "m.pth", tensors),
        write_safetensors(folder / "m.safetensors", tensors),
        write_gguf(folder / "m.gguf", tensors, pieces=PIECES),
        write_fla(folder / "hub", tensors),
    ]
    (folder / "hub" / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    first, *others = [logits(load_model(path)) for path in paths]
    assert first.shape == (len(TOKENS), 264)
    for other in others:
        torch.testing.assert_close(other, first, rtol=1e-4, atol=1e-4)


def test_a_tokenizer_beside_the_file_is_taken(folder: Path) -> None:
    loaded = load_model(write_pth(folder / "m.pth", tiny_rwkv7(vocabulary=300)))
    assert isinstance(loaded.encoder, SubwordEncoder)
    assert loaded.chat_template is None and loaded.stop == ()
    (folder / "chat_template.jinja").write_text(CHATML)
    template = load_model(folder / "m.pth").chat_template
    assert template is not None
    assert template.render([{"role": "user", "content": "Hi"}]).startswith("<|im_start|>user\nHi")


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    path = write_pth(folder / "m.pth", tiny_rwkv7(vocabulary=200))
    with pytest.raises(ModelFileError) as error:
        load_model(path)
    assert str(error.value) == f"{path}: the tokenizer has 264 tokens, the model 200"


def test_a_world_model_has_its_tokenizer_and_template(tmp_path: Path) -> None:
    path = write_pth(tmp_path / "m.pth", tiny_rwkv7(vocabulary=WORLD_SIZE))
    loaded = load_model(path, weights="q8_0", max_context=100)
    assert isinstance(loaded.encoder, WorldEncoder)
    assert loaded.model.max_context == 100
    assert loaded.stop == ("\n\nUser:",)
    assert loaded.chat_template is not None
    assert loaded.chat_template.render([{"role": "user", "content": "Hi"}]) == "User: Hi\n\nAssistant:"
    assert load_encoder(path).encode("Hi") == loaded.encoder.encode("Hi")


@pytest.mark.parametrize("template", [None, "rwkv-world"])
def test_a_gguf_file_brings_its_tokens(tmp_path: Path, template: str | None) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_rwkv7(), pieces=PIECES, template=template)
    loaded = load_model(path)
    assert loaded.encoder.encode(" the\n\nUser", bos=True) == [0, 261, 258, 259]
    assert loaded.chat_template is not None and loaded.stop == ("\n\nUser:",)
    assert loaded.chat_template.encode([{"role": "user", "content": "the"}], loaded.encoder)[:2] == [0, 259]


def test_a_gguf_file_brings_its_template(tmp_path: Path) -> None:
    template = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    path = write_gguf(tmp_path / "m.gguf", tiny_rwkv7(), pieces=PIECES, template=template)
    loaded = load_model(path)
    assert loaded.chat_template is not None
    assert loaded.chat_template.encode([{"role": "user", "content": "the"}], loaded.encoder) == [0, 257, 0]


def test_another_vocabulary_needs_its_tokenizer(tmp_path: Path) -> None:
    path = write_pth(tmp_path / "m.pth", tiny_rwkv7())
    for load in (load_model, load_encoder):
        with pytest.raises(ModelFileError) as error:
            load(path)
        assert str(error.value) == (
            f"{path}: {VOCABULARY} tokens are not those of World models (65536): "
            "put the model's tokenizer.json beside the file"
        )


def test_a_checkpoint_of_something_else(tmp_path: Path) -> None:
    path = write_pth(tmp_path / "m.pth", {"conv.weight": torch.ones(3)})
    with pytest.raises(ModelFileError) as error:
        load_model(path)
    assert str(error.value) == f"{path}: there is no tensor emb.weight, and of .pth files only RWKV-7 is read"


def test_a_hub_folder_without_a_usable_epsilon(tmp_path: Path) -> None:
    hub = write_fla(tmp_path / "hub", tiny_rwkv7())
    (hub / "config.json").write_text(json.dumps({"norm_eps": 1e-6}))
    with pytest.raises(ModelFileError, match=r"config.json: norm_eps 1e-06 with heads of 64 is not supported"):
        load_model(hub)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    paths = (
        write_pth(folder / "m.pth", tiny_rwkv7(vocabulary=264)),
        write_gguf(folder / "m.gguf", tiny_rwkv7(), pieces=PIECES),
    )
    return {path.name: path.read_bytes() for path in paths}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["m.pth", "m.gguf"]), data=st.data())
def test_damage_is_reported_or_harmless(
    folder: Path, contents: dict[str, bytes], name: str, data: st.DataObject
) -> None:
    """In the header of a GGUF file; in the pickle of a checkpoint, or the directory at its end."""
    damaged = bytearray(contents[name])
    in_gguf = name == "m.gguf"
    size = damaged.index(b"blk.1.channel_mix_value.weight") + 64 if in_gguf else 9000
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(4, size)) * (1 if in_gguf else data.draw(st.sampled_from([1, -1])))
        value = data.draw(st.binary(min_size=1, max_size=8))
        damaged[at : at + len(value)] = value
    (folder / name).write_bytes(damaged)
    try:
        load_model(folder / name)
    except ModelFileError as error:
        assert "\n" not in str(error)

"""An RWKV-7 reads to the same weights from every kind of file, and anything wrong with a file is one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize as gguf_dequantize
from gguf.quants import quantize
from tiny_rwkv7 import (
    FFN,
    HEAD,
    LAYERS,
    VOCABULARY,
    WIDTH,
    fla_name,
    tiny_rwkv7,
    write_fla,
    write_gguf,
    write_pth,
    write_safetensors,
)  # fmt: skip
from torch import Tensor
from torch.nn.functional import layer_norm

from kernels.packed import PackedColumns, PackedTensor, dequantize
from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.pth_file import PthFile
from model.rwkv7_config import Rwkv7Config, rwkv7_config
from model.rwkv7_names import find_names
from model.rwkv7_weights import Rwkv7Weights, read_rwkv7_weights
from model.safetensors_file import SafetensorsFile, read_json
from model.tensor_reader import WeightDtype

Tensors = dict[str, Tensor]
Write = Callable[[Path, Tensors], Path]
WRITERS: dict[str, Write] = {
    "pth": lambda folder, tensors: write_pth(folder / "m.pth", tensors),
    "safetensors": lambda folder, tensors: write_safetensors(folder / "m.safetensors", tensors),
    "fla": lambda folder, tensors: write_fla(folder / "hub", tensors),
    "fla, fused mixes": lambda folder, tensors: write_fla(folder / "hub", tensors, fused=True),
    "gguf": lambda folder, tensors: write_gguf(folder / "m.gguf", tensors),
}


def read(path: Path, dtype: WeightDtype = "packed") -> tuple[Rwkv7Config, Rwkv7Weights]:
    files: dict[str, Any] = {".pth": PthFile, ".gguf": GGUFFile}
    file = files.get(path.suffix, SafetensorsFile)(path)
    names = find_names(file)
    assert names is not None
    config = rwkv7_config(file, names, read_json(path / "config.json") if path.is_dir() else None)
    return config, read_rwkv7_weights(file, names, config, dtype, torch.device("cpu"))


def flat(node: Any, prefix: str = "") -> dict[str, Tensor]:
    """All tensors by their path, dense and f32; the second matrix of channel mix as [F, D]."""
    if isinstance(node, PackedColumns | PackedTensor):
        as_it_was = isinstance(node, PackedTensor) and prefix.endswith("channel_mix.value")
        node = dequantize(node).t() if as_it_was else dequantize(node)
    if isinstance(node, Tensor):
        return {prefix: node.float()}
    if node is None:
        return {}
    parts = node._asdict() if hasattr(node, "_asdict") else dict(enumerate(node))
    return {name: leaf for key, part in parts.items() for name, leaf in flat(part, f"{prefix}.{key}").items()}


def expected(tensors: Tensors, matrix: Callable[[Tensor], Tensor] = lambda dense: dense) -> dict[str, Tensor]:
    """What `flat` should give; matrix: what becomes of a matrix's numbers."""
    ln0 = tensors["blocks.0.ln0.weight"], tensors["blocks.0.ln0.bias"]
    out = {
        ".embedding": layer_norm(tensors["emb.weight"], (WIDTH,), *ln0, 1e-5),
        ".output_norm.weight": tensors["ln_out.weight"],
        ".output_norm.bias": tensors["ln_out.bias"],
        ".head": matrix(tensors["head.weight"]),
    }
    for i in range(LAYERS):
        block = {k.removeprefix(f"blocks.{i}."): v for k, v in tensors.items() if k.startswith(f"blocks.{i}.")}
        for ours, theirs in (("norm1", "ln1"), ("norm2", "ln2")):
            out |= {f".layers.{i}.{ours}.{kind}": block[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
        order = ["r", "k", "v", "w", "a", "g"] + ["v"] * (i > 0)
        mixing = {"mixes": torch.stack([block[f"att.x_{x}"].flatten() for x in order])}
        mixing |= {name: matrix(block[f"att.{name}.weight"]) for name in ("receptance", "key", "value", "output")}
        for ours, x in (("decay", "w"), ("rate", "a"), ("gate", "g"), ("value_gate", "v")):
            if (ours, i) != ("value_gate", 0):
                mixing[f"{ours}.down"] = matrix(block[f"att.{x}1"].t())
                mixing[f"{ours}.up"] = matrix(block[f"att.{x}2"].t())
                if x != "g":
                    mixing[f"{ours}.bias"] = block[f"att.{x}0"].flatten()
        mixing |= {name: block[f"att.{name}"].flatten() for name in ("k_k", "k_a")}
        mixing["r_k"] = block["att.r_k"]
        mixing |= {f"norm_{kind}": block[f"att.ln_x.{kind}"] for kind in ("weight", "bias")}
        out |= {f".layers.{i}.time_mix.{name}": tensor for name, tensor in mixing.items()}
        out[f".layers.{i}.channel_mix.mix"] = block["ffn.x_k"].view(1, WIDTH)
        out[f".layers.{i}.channel_mix.key"] = matrix(block["ffn.key.weight"])
        out[f".layers.{i}.channel_mix.value"] = matrix(block["ffn.value.weight"]).t()
    return out


def through(stored: T) -> Callable[[Tensor], Tensor]:
    """A matrix after it was stored so, where its rows are whole blocks."""

    def convert(dense: Tensor) -> Tensor:
        blocks = quantize(dense.contiguous().numpy(), stored)
        return torch.from_numpy(gguf_dequantize(blocks, stored))

    return lambda dense: dense if dense.shape[1] % 32 else convert(dense)


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor], but: float = 0.0) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=but, atol=but, msg=lambda text, name=name: name + text)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_gives_the_same(tmp_path: Path, kind: str) -> None:
    tensors = tiny_rwkv7()
    config, weights = read(WRITERS[kind](tmp_path, tensors))
    assert config == Rwkv7Config(VOCABULARY, WIDTH, LAYERS, HEAD, FFN, norm_eps=config.norm_eps)
    assert config.norm_eps == pytest.approx(1e-5)  # f32 in GGUF
    assert_same(flat(weights), expected(tensors))
    assert weights.layers[0].time_mix.ranks == 128 and weights.layers[1].time_mix.ranks == 144


@pytest.mark.parametrize("stored", [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q5_1])
def test_gguf_keeps_its_types(tmp_path: Path, stored: T) -> None:
    tensors = tiny_rwkv7()
    _, weights = read(write_gguf(tmp_path / "m.gguf", tensors, stored))
    convert = through(stored)
    wanted = expected(tensors, convert)
    ln0 = tensors["blocks.0.ln0.weight"], tensors["blocks.0.ln0.bias"]
    wanted[".embedding"] = layer_norm(convert(tensors["emb.weight"]), (WIDTH,), *ln0, 1e-5).half().float()
    for i in range(LAYERS):
        decay = f".layers.{i}.time_mix.decay"
        wanted[f"{decay}.down"] = tensors[f"blocks.{i}.att.w1"].t()
        wanted[f"{decay}.up"] = tensors[f"blocks.{i}.att.w2"].t()
    assert_same(flat(weights), wanted, but=1e-6)
    packed = stored in (T.Q8_0, T.Q4_0, T.Q5_1)
    assert isinstance(weights.head, PackedTensor) == packed
    value = weights.layers[0].channel_mix.value
    assert isinstance(value, {T.F16: Tensor, T.BF16: Tensor, T.Q8_0: PackedColumns}.get(stored, PackedTensor))


@pytest.mark.parametrize("kind", ["pth", "fla", "gguf"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_matrices_are_opened_as_told(tmp_path: Path, kind: str, dtype: WeightDtype) -> None:
    tensors = tiny_rwkv7()
    _, weights = read(WRITERS[kind](tmp_path, tensors), dtype)
    target = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
    wanted = expected(tensors, lambda dense: dense.to(target).float())
    wanted[".embedding"] = wanted[".embedding"].to(target).float()
    assert_same(flat(weights), wanted)
    assert {weights.embedding.dtype, weights.head.dtype, weights.layers[1].channel_mix.value.dtype} == {target}


@pytest.mark.parametrize("kind", ["pth", "fla", "gguf"])
def test_matrices_are_packed_at_load(tmp_path: Path, kind: str) -> None:
    tensors = tiny_rwkv7()
    _, weights = read(WRITERS[kind](tmp_path, tensors), "q8_0")
    assert_same(flat(weights), expected(tensors, through(T.Q8_0)), but=1e-6)
    assert isinstance(weights.layers[1].channel_mix.value, PackedColumns)
    assert isinstance(weights.layers[1].time_mix.rate.down, PackedTensor)
    assert isinstance(weights.layers[1].time_mix.value_gate.up, Tensor)  # rows of 16


def test_a_published_checkpoint_is_mapped(tmp_path: Path) -> None:
    """bf16 as published; matrices are views of the file, and the embedding loses nothing to its type."""
    tensors = {name: tensor.bfloat16() for name, tensor in tiny_rwkv7().items()}
    _, weights = read(write_pth(tmp_path / "m.pth", tensors))
    assert weights.layers[0].time_mix.key.dtype == torch.bfloat16
    assert weights.embedding.dtype == torch.float16
    exact = expected({name: tensor.float() for name, tensor in tensors.items()})
    torch.testing.assert_close(weights.embedding.float(), exact[".embedding"], rtol=2**-11, atol=1e-6)
    assert weights.nbytes == sum(t.nbytes for t in _leaves(weights))


def _leaves(node: Any) -> list[Any]:
    if isinstance(node, tuple):
        return [leaf for part in node for leaf in _leaves(part)]
    return [] if node is None else [node]


def changed(**changes: Any) -> Tensors:
    """The tiny model with some tensors replaced (or, by None, missing)."""
    tensors: Tensors = tiny_rwkv7() | {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


ONE = torch.ones(1)
DAMAGES: dict[str, tuple[Tensors, str]] = {
    "missing": (changed(blocks__1__ffn__key__weight=None), "there is no tensor {blocks.1.ffn.key.weight}"),
    "missing vector": (changed(blocks__1__att__k_k=None), "there is no tensor {blocks.1.att.k_k}"),
    "missing branch": (changed(blocks__1__att__v2=None), "there is no tensor {blocks.1.att.v2}"),
    "older": (changed(blocks__0__att__r_k=None), "there is no tensor {blocks.0.att.r_k}, so this is no RWKV-7"),
    "one more": (changed(blocks__1__ffn__s_emb=ONE), "tensor {blocks.1.ffn.s_emb} is not part of an RWKV-7"),
    "other head": (
        changed(head__weight=torch.ones(VOCABULARY, WIDTH + 1)),
        f"tensor {{head.weight}} is ({VOCABULARY}, {WIDTH + 1}), expected ({VOCABULARY}, {WIDTH})",
    ),
    "other vector": (
        changed(blocks__1__ln1__bias=torch.ones(WIDTH - 1)),
        f"tensor {{blocks.1.ln1.bias}} is ({WIDTH - 1},), expected ({WIDTH},)",
    ),
    "cube": (changed(emb__weight=torch.ones(2, 3, 4)), "tensor {emb.weight} is (2, 3, 4), expected a matrix"),
    "heads": (
        changed(blocks__0__att__r_k=torch.ones(3, HEAD)),
        f"3 heads of {HEAD} in {{blocks.0.att.r_k}} do not make a width of {WIDTH}",
    ),
}


@pytest.mark.parametrize("kind", ["pth", "safetensors", "fla"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_wrong_is_named(tmp_path: Path, kind: str, damage: str) -> None:
    tensors, message = DAMAGES[damage]
    if kind == "fla" and damage == "cube":
        pytest.skip("the converter takes no cubes")
    path = WRITERS[kind](tmp_path, tensors)
    name = message[message.index("{") + 1 : message.index("}")]
    message = message.replace(f"{{{name}}}", fla_name(name) if kind == "fla" else name)
    with pytest.raises(ModelFileError) as error:
        read(path)
    assert str(error.value) == f"{path}: {message}"


def test_a_gguf_that_contradicts_itself(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_rwkv7())
    path.write_bytes(path.read_bytes().replace(b"rwkv7.block_count\x04\0\0\0\x02", b"rwkv7.block_count\x04\0\0\0\x03"))
    with pytest.raises(ModelFileError) as error:
        read(path)
    assert str(error.value) == f"{path}: rwkv7.block_count is 3, but the tensors say 2"


@pytest.mark.parametrize("eps", [1e-6, "1e-5", None])
def test_another_epsilon_on_the_hub_is_refused(tmp_path: Path, eps: Any) -> None:
    folder = write_fla(tmp_path / "hub", tiny_rwkv7())
    (folder / "config.json").write_text(f'{{"norm_eps": {eps!r}}}'.replace("None", "null").replace("'", '"'))
    with pytest.raises(ModelFileError, match=r"norm_eps .* with heads of 64 is not supported"):
        read(folder)

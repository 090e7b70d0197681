"""The weights of a Llama-family transformer, read from GGUF or Safetensors under the same field names.

Rows of GGUF query and key matrices are left in the file's order (see `RopeConfig.interleaved`): attention
does not mind an order of the head's dimensions that queries and keys share.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from gguf import GGMLQuantizationType

from kernels.packed import BlockFormat, PackedTensor, Weight
from model.config import LlamaConfig
from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.safetensors_file import SafetensorsFile

WeightDtype = Literal["packed", "f32", "bf16"]
_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
_PACKED = {block_format.value: block_format for block_format in BlockFormat}
_STORED = {GGMLQuantizationType.F32: torch.float32, GGMLQuantizationType.F16: torch.float16}
_GGUF_NAMES = {
    "embedding": "token_embd", "output_norm": "output_norm", "head": "output",
    "attention_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}  # fmt: skip
_HUB_NAMES = {
    "embedding": "model.embed_tokens", "output_norm": "model.norm", "head": "lm_head",
    "attention_norm": "input_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj",
    "v": "self_attn.v_proj", "o": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip


class Projection(NamedTuple):
    """y = x @ weight.T + bias: weight [N, K], bias f32 [N] or None."""

    weight: Weight
    bias: torch.Tensor | None


class LayerWeights(NamedTuple):
    """One decoder layer. qkv: one fused projection of (n_heads + 2 n_kv_heads) * head_dim rows where query,
    key and value are stored alike, else the three of them. D = width, F = ffn_width; norms are f32 [D]."""

    attention_norm: torch.Tensor
    qkv: tuple[Projection, ...]
    o: Projection  # [D, n_heads * head_dim]
    ffn_norm: torch.Tensor
    gate: Weight  # [F, D]
    up: Weight  # [F, D]
    down: Weight  # [D, F]


class LlamaWeights(NamedTuple):
    """All weights. embedding and head [vocab_size, D] are one tensor when the file ties them; output_norm
    f32 [D]."""

    embedding: Weight
    layers: tuple[LayerWeights, ...]
    output_norm: torch.Tensor
    head: Weight

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the weights take."""
        return sum({id(tensor): tensor.nbytes for tensor in _leaves(self)}.values())


class _Reader:
    """Reads tensors of one file by field and layer, checks their shapes and brings them to dtype and
    device."""

    def __init__(self, file: GGUFFile | SafetensorsFile, dtype: WeightDtype, device: torch.device) -> None:
        self.file = file
        target = _DTYPES.get(dtype)
        self.read: Callable[[str], Weight]
        if isinstance(file, GGUFFile):
            self.fields, self.layer_prefix = _GGUF_NAMES, "blk"
            self.read = lambda name: _read_gguf(file, name, target, device)
        else:
            self.fields, self.layer_prefix = _HUB_NAMES, "model.layers"
            self.read = lambda name: file.tensor(name).to(device, target)

    def name(self, field: str, layer: int | None, kind: str = "weight") -> str:
        prefix = "" if layer is None else f"{self.layer_prefix}.{layer}."
        return f"{prefix}{self.fields[field]}.{kind}"

    def has(self, field: str, layer: int | None = None, kind: str = "weight") -> bool:
        return self.name(field, layer, kind) in self.file.tensors

    def matrix(self, field: str, layer: int | None, rows: int, columns: int) -> Weight:
        return self._checked(self.name(field, layer), (rows, columns))

    def vector(self, field: str, layer: int | None, size: int, kind: str = "weight") -> torch.Tensor:
        values = self._checked(self.name(field, layer, kind), (size,))
        assert isinstance(values, torch.Tensor)
        return values.float()

    def projection(self, field: str, layer: int, rows: int, columns: int) -> Projection:
        bias = self.vector(field, layer, rows, "bias") if self.has(field, layer, "bias") else None
        return Projection(self.matrix(field, layer, rows, columns), bias)

    def _checked(self, name: str, shape: tuple[int, ...]) -> Weight:
        if name not in self.file.tensors:
            raise ModelFileError(f"{self.file.path}: there is no tensor {name}")
        weight = self.read(name)
        if tuple(weight.shape) != shape:
            raise ModelFileError(
                f"{self.file.path}: tensor {name} is {tuple(weight.shape)}, expected {shape}"
            )
        return weight


def _read_gguf(file: GGUFFile, name: str, target: torch.dtype | None, device: torch.device) -> Weight:
    info = file.tensors[name]
    if len(info.shape) == 1:
        return file.dense(info, torch.float32).to(device)
    if target is None and info.type in _PACKED:
        return PackedTensor(file.raw(info).to(device), _PACKED[info.type])
    # Blocks that no kernel reads are opened in bf16, whose rounding is far below theirs.
    stored = _STORED.get(info.type, torch.bfloat16)
    return file.dense(info, target or stored).to(device)


def read_weights(
    file: GGUFFile | SafetensorsFile, config: LlamaConfig, dtype: WeightDtype, device: torch.device
) -> LlamaWeights:
    """Read all weights. dtype "packed" keeps matrices as the file has them where a kernel can read them (on
    a CPU: without a copy, but for fused rows); "f32" and "bf16" open every matrix at load. Norms and biases
    are f32.

    Raises ModelFileError if a tensor is missing, has another shape than `config` says, or cannot be read.
    """
    reader = _Reader(file, dtype, device)
    embedding = reader.matrix("embedding", None, config.vocab_size, config.width)
    has_head = reader.has("head")
    return LlamaWeights(
        embedding=embedding,
        layers=tuple(_read_layer(reader, config, layer) for layer in range(config.n_layers)),
        output_norm=reader.vector("output_norm", None, config.width),
        head=reader.matrix("head", None, config.vocab_size, config.width) if has_head else embedding,
    )


def _read_layer(reader: _Reader, config: LlamaConfig, layer: int) -> LayerWeights:
    q_width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    qkv = (
        reader.projection("q", layer, q_width, config.width),
        reader.projection("k", layer, kv_width, config.width),
        reader.projection("v", layer, kv_width, config.width),
    )
    return LayerWeights(
        attention_norm=reader.vector("attention_norm", layer, config.width),
        qkv=_fuse_rows(qkv),
        o=reader.projection("o", layer, config.width, q_width),
        ffn_norm=reader.vector("ffn_norm", layer, config.width),
        gate=reader.matrix("gate", layer, config.ffn_width, config.width),
        up=reader.matrix("up", layer, config.ffn_width, config.width),
        down=reader.matrix("down", layer, config.width, config.ffn_width),
    )


def _fuse_rows(parts: tuple[Projection, ...]) -> tuple[Projection, ...]:
    """Stack projections of the same input into one if they are stored alike, else return them as they are."""
    weights = [part.weight for part in parts]
    biases = [part.bias for part in parts if part.bias is not None]
    if len(biases) not in (0, len(parts)):
        return parts
    bias = torch.cat(biases) if biases else None
    packed = [weight for weight in weights if isinstance(weight, PackedTensor)]
    if not packed and len({weight.dtype for weight in weights if isinstance(weight, torch.Tensor)}) == 1:
        return (
            Projection(torch.cat([weight for weight in weights if isinstance(weight, torch.Tensor)]), bias),
        )
    if len(packed) == len(parts) and len({weight.format for weight in packed}) == 1:
        return (
            Projection(PackedTensor(torch.cat([weight.data for weight in packed]), packed[0].format), bias),
        )
    return parts


def _leaves(weights: LlamaWeights) -> list[Weight]:
    leaves: list[Weight] = [weights.embedding, weights.output_norm, weights.head]
    for layer in weights.layers:
        leaves += [layer.attention_norm, layer.ffn_norm, layer.gate, layer.up, layer.down]
        leaves += [
            tensor for projection in (*layer.qkv, layer.o) for tensor in projection if tensor is not None
        ]
    return leaves

"""The weights of a Llama-family transformer, read from GGUF or Safetensors under the same field names.

Rows of GGUF query and key matrices are left in the file's order (see `RopeConfig.interleaved`): attention
does not mind an order of the head's dimensions that queries and keys share.
"""

from typing import NamedTuple

import torch

from kernels.packed import PackedTensor, Weight
from model.config import LlamaConfig
from model.gguf_file import GGUFFile
from model.tensor_reader import TensorFile, TensorReader, WeightDtype, memory_bytes

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
        return memory_bytes(self)


class _Reader:
    """Reads tensors of one file by field and layer."""

    def __init__(self, file: TensorFile, dtype: WeightDtype, device: torch.device) -> None:
        self.tensors = TensorReader(file, dtype, device)
        in_gguf = isinstance(file, GGUFFile)
        self.fields, self.layer_prefix = (_GGUF_NAMES, "blk") if in_gguf else (_HUB_NAMES, "model.layers")

    def name(self, field: str, layer: int | None, kind: str = "weight") -> str:
        prefix = "" if layer is None else f"{self.layer_prefix}.{layer}."
        return f"{prefix}{self.fields[field]}.{kind}"

    def has(self, field: str, layer: int | None = None, kind: str = "weight") -> bool:
        return self.name(field, layer, kind) in self.tensors.file.tensors

    def matrix(self, field: str, layer: int | None, rows: int, columns: int) -> Weight:
        return self.tensors.matrix(self.name(field, layer), rows, columns)

    def vector(self, field: str, layer: int | None, size: int, kind: str = "weight") -> torch.Tensor:
        return self.tensors.values(self.name(field, layer, kind), size)

    def projection(self, field: str, layer: int, rows: int, columns: int) -> Projection:
        bias = self.vector(field, layer, rows, "bias") if self.has(field, layer, "bias") else None
        return Projection(self.matrix(field, layer, rows, columns), bias)


def read_weights(file: TensorFile, config: LlamaConfig, dtype: WeightDtype, device: torch.device) -> LlamaWeights:
    """Read all weights; dtype says how matrices lie in memory, see TensorReader (on a CPU, "packed" copies fused rows
    only). Norms and biases are f32.

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
        return (Projection(torch.cat([weight for weight in weights if isinstance(weight, torch.Tensor)]), bias),)
    if len(packed) == len(parts) and len({weight.format for weight in packed}) == 1:
        return (Projection(PackedTensor(torch.cat([weight.data for weight in packed]), packed[0].format), bias),)
    return parts

"""The weights of an RWKV-7 in the order and the layouts that its kernels read, whatever file they come from.

D = width, H heads of N = head_size, F = ffn_width, V = vocab_size, R = rank of a low-rank branch. Done once, here:
ln0 is applied to the embedding, the low-rank matrices of published checkpoints are turned to [output, input], and the
second matrix of channel mix is turned to [input, output], so that inputs that are zero cost nothing.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from kernels.packed import BlockFormat, LowRank, PackedColumns, PackedTensor, Weight, columns_of
from model.rwkv7_config import Rwkv7Config
from model.rwkv7_names import GGUF, Rwkv7Names, check_no_others
from model.tensor_reader import DENSE, TensorFile, TensorReader, WeightDtype, memory_bytes

_FUSED_ORDER = "rwkvag"  # of att.x_x


class Norm(NamedTuple):
    """A layer norm's weight and bias, f32 [D]."""

    weight: Tensor
    bias: Tensor


class TimeMix(NamedTuple):
    """The recurrent half of a layer. mixes: of token shift, in the order r, k, v, w, a, g and, but in the first layer,
    v again for the value gate."""

    mixes: Tensor  # f32 [7, D]; first layer [6, D]
    receptance: Weight  # [D, D], as are the next three
    key: Weight
    value: Weight
    output: Weight
    decay: LowRank
    rate: LowRank
    gate: LowRank
    value_gate: LowRank | None  # None in the first layer
    k_k: Tensor  # f32 [D]
    k_a: Tensor  # f32 [D]
    r_k: Tensor  # f32 [H, N]
    norm_weight: Tensor  # f32 [D]
    norm_bias: Tensor  # f32 [D]

    @property
    def ranks(self) -> int:
        """The ranks of all branches together."""
        branches = (self.decay, self.rate, self.gate, self.value_gate)
        return sum(branch.down.shape[0] for branch in branches if branch is not None)


class ChannelMix(NamedTuple):
    """The other half. value: rows are inputs; but a packed matrix that cannot be turned is left as [D, F]."""

    mix: Tensor  # f32 [1, D]
    key: Weight  # [F, D]
    value: Tensor | PackedColumns | PackedTensor  # [F, D], PackedTensor [D, F]


class Rwkv7Layer(NamedTuple):
    norm1: Norm
    time_mix: TimeMix
    norm2: Norm
    channel_mix: ChannelMix


class Rwkv7Weights(NamedTuple):
    """All weights. embedding: dense, ln0 applied."""

    embedding: Tensor  # [V, D]
    layers: tuple[Rwkv7Layer, ...]
    output_norm: Norm
    head: Weight  # [V, D]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the weights take."""
        return memory_bytes(self)


def read_rwkv7_weights(
    file: TensorFile, names: Rwkv7Names, config: Rwkv7Config, dtype: WeightDtype, device: torch.device
) -> Rwkv7Weights:
    """Read all weights; dtype says how matrices lie in memory, see TensorReader. All vectors are f32.

    Raises ModelFileError if a tensor is missing, is one too many, has another shape than `config` says, or cannot be
    read.
    """
    reader = _Reader(file, names, config, dtype, device)
    weights = Rwkv7Weights(
        embedding=reader.embedding(),
        layers=tuple(reader.layer(layer) for layer in range(config.n_layers)),
        output_norm=reader.norm("ln_out"),
        head=reader.matrix("head.weight", None, config.vocab_size, config.width),
    )
    check_no_others(file, names, reader.tensors.seen)
    return weights


class _Reader:
    """Reads the parts of a layer by their published names."""

    def __init__(
        self, file: TensorFile, names: Rwkv7Names, config: Rwkv7Config, dtype: WeightDtype, device: torch.device
    ) -> None:
        self.tensors = TensorReader(file, dtype, device)
        self.names = names
        self.config = config

    def matrix(self, name: str, layer: int | None, rows: int, columns: int) -> Weight:
        return self.tensors.matrix(self.names.of(name, layer), rows, columns)

    def vector(self, name: str, layer: int | None) -> Tensor:
        return self.tensors.values(self.names.of(name, layer), self.config.width)

    def norm(self, name: str, layer: int | None = None) -> Norm:
        return Norm(self.vector(f"{name}.weight", layer), self.vector(f"{name}.bias", layer))

    def embedding(self) -> Tensor:
        """Rows after ln0. Where weights stay as the file has them, f16 keeps what their bf16 would lose."""
        config, norm, name = self.config, self.norm("ln0"), self.names.of("emb.weight")
        rows = self.tensors.values(name, config.vocab_size, config.width)
        normed = layer_norm(rows, (config.width,), norm.weight, norm.bias, config.norm_eps)
        as_stored = torch.float32 if self.tensors.is_f32(name) else torch.float16
        return normed.to(DENSE.get(self.tensors.dtype, as_stored))

    def layer(self, layer: int) -> Rwkv7Layer:
        return Rwkv7Layer(
            norm1=self.norm("ln1", layer),
            time_mix=self.time_mix(layer),
            norm2=self.norm("ln2", layer),
            channel_mix=self.channel_mix(layer),
        )

    def time_mix(self, layer: int) -> TimeMix:
        width, size = self.config.width, self.config.head_size
        norm = self.norm("att.ln_x", layer)
        return TimeMix(
            mixes=self.mixes(layer),
            receptance=self.matrix("att.receptance.weight", layer, width, width),
            key=self.matrix("att.key.weight", layer, width, width),
            value=self.matrix("att.value.weight", layer, width, width),
            output=self.matrix("att.output.weight", layer, width, width),
            decay=self.low_rank("w", layer),
            rate=self.low_rank("a", layer),
            gate=self.low_rank("g", layer, bias=False),
            value_gate=self.low_rank("v", layer) if layer else None,
            k_k=self.vector("att.k_k", layer),
            k_a=self.vector("att.k_a", layer),
            r_k=self.tensors.values(self.names.of("att.r_k", layer), self.config.n_heads, size),
            norm_weight=norm.weight,
            norm_bias=norm.bias,
        )

    def mixes(self, layer: int) -> Tensor:
        fused = self.names.of("att.x_x", layer)
        if self.names is GGUF or fused in self.tensors.file.tensors:
            rows = self.tensors.values(fused, len(_FUSED_ORDER), self.config.width)
        else:
            rows = torch.stack([self.vector(f"att.x_{x}", layer) for x in _FUSED_ORDER])
        return rows[[_FUSED_ORDER.index(x) for x in ("rkvwagv" if layer else "rkvwag")]]

    def low_rank(self, branch: str, layer: int, bias: bool = True) -> LowRank:
        down, up = (self.names.of(f"att.{branch}{i}", layer) for i in "12")
        rank = math.prod(self.tensors.shape(down)) // self.config.width
        return LowRank(
            down=self.tensors.matrix(down, rank, self.config.width, self.names.turned),
            up=self.tensors.matrix(up, self.config.width, rank, self.names.turned),
            bias=self.vector(f"att.{branch}0", layer) if bias else None,
        )

    def channel_mix(self, layer: int) -> ChannelMix:
        width, ffn = self.config.width, self.config.ffn_width
        return ChannelMix(
            mix=self.vector("ffn.x_k", layer).unsqueeze(0),
            key=self.matrix("ffn.key.weight", layer, ffn, width),
            value=_by_input(self.matrix("ffn.value.weight", layer, width, ffn)),
        )


def _by_input(weight: Weight) -> Tensor | PackedColumns | PackedTensor:
    if isinstance(weight, Tensor):
        return weight.t().contiguous()
    return columns_of(weight) if weight.format is BlockFormat.Q8_0 else weight

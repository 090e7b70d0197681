"""RWKV-7 for training, with the tensor names and the formulas of the published models (arXiv 2503.14456).

B sequences of T tokens, D = width, H heads of N = 64, R = rank of a low-rank branch. The initial values are those of
the official training recipe: projections small and uniform, outputs zero, decays spread over the channels.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from experiments.train.wkv7 import wkv7_chunked

HEAD = 64
LOG_DECAY_SCALE = -math.exp(-0.5)  # log w = -0.6065 sigmoid(..): one step keeps at least 0.5453 of the state


@dataclass(frozen=True)
class RWKV7Shape:
    """Sizes of a model. rank: of the branches of decay, learning rate and gate; value_rank: of the value's branch."""

    vocab_size: int
    width: int
    n_layers: int
    ffn_width: int
    rank: int = 32
    value_rank: int = 16


class RWKV7(nn.Module):
    """Tokens [B, T] to logits [B, T, vocab_size]. `state_dict()` has the official names."""

    def __init__(self, shape: RWKV7Shape) -> None:
        super().__init__()
        self.shape = shape
        self.emb = nn.Embedding(shape.vocab_size, shape.width)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.n_layers))
        self.ln_out = nn.LayerNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocab_size, bias=False)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)
        nn.init.orthogonal_(self.head.weight, gain=0.5 * math.sqrt(shape.vocab_size / shape.width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.blocks[0].ln0(self.emb(tokens))
        v_first = None
        for block in self.blocks:
            x, v_first = block(x, v_first)
        return self.head(self.ln_out(x))


class Block(nn.Module):
    def __init__(self, shape: RWKV7Shape, layer: int) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(shape.width)
        self.ln1, self.ln2 = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.att, self.ffn = TimeMix(shape, layer), ChannelMix(shape, layer)

    def forward(self, x: torch.Tensor, v_first: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        mixed, v_first = self.att(self.ln1(x), v_first)
        x = x + mixed
        return x + self.ffn(self.ln2(x)), v_first


class TimeMix(nn.Module):
    """The recurrent layer. Its first instance defines `v_first`, towards which the others draw their values."""

    def __init__(self, shape: RWKV7Shape, layer: int) -> None:
        super().__init__()
        width, heads = shape.width, shape.width // HEAD
        depth = layer / max(shape.n_layers - 1, 1)  # 0 .. 1
        left = 1 - layer / shape.n_layers  # 1 .. nearly 0
        channel = torch.arange(width) / width
        for name, power in (("r", 0.2), ("w", 0.9), ("k", 0.7), ("v", 0.7), ("a", 0.9), ("g", 0.2)):
            self._vector(f"x_{name}", 1 - channel ** (power * left))
        ramp = torch.arange(width) / (width - 1)
        zigzag = ((torch.arange(width) % HEAD) - (HEAD - 1) / 2) / ((HEAD - 1) / 2)
        zigzag = zigzag * zigzag.abs()
        self._vector("w0", -6.5 + 5 * ramp ** (0.85 + depth**0.5) + 2.5 * zigzag)
        self._vector("a0", -0.19 + 0.3 * zigzag + 0.4 * (ramp - 0.5))
        self._low_rank("w", shape.rank)
        self._low_rank("a", shape.rank)
        self._low_rank("g", shape.rank)
        if layer > 0:
            self._vector("v0", 0.73 - 0.4 * (ramp - 0.5))
            self._low_rank("v", shape.value_rank)
        self._vector("k_k", 0.71 - 0.1 * (ramp - 0.5))
        self._vector("k_a", torch.full((width,), 1.02))
        self.r_k = nn.Parameter(torch.full((heads, HEAD), -0.04))
        for name, bound in (("receptance", 0.5), ("key", 0.05), ("value", 0.5), ("output", 0.0)):
            setattr(self, name, _linear(width, width, bound / math.sqrt(width)))
        self.ln_x = nn.GroupNorm(heads, width, eps=64e-5)
        nn.init.constant_(self.ln_x.weight, ((1 + layer) / shape.n_layers) ** 0.7)

    def forward(self, x: torch.Tensor, v_first: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        change = _previous(x) - x
        x_r, x_w, x_k, x_v, x_a, x_g = (
            torch.addcmul(x, change, mix) for mix in (self.x_r, self.x_w, self.x_k, self.x_v, self.x_a, self.x_g)
        )
        r, k, v = self.receptance(x_r), self.key(x_k), self.value(x_v)
        if v_first is None:
            v_first = v
        else:
            v = torch.lerp(v, v_first, torch.sigmoid(self.v0 + x_v @ self.v1 @ self.v2).to(v.dtype))
        log_w = LOG_DECAY_SCALE * torch.sigmoid(self.w0 + torch.tanh(x_w @ self.w1) @ self.w2)
        rate = torch.sigmoid(self.a0 + x_a @ self.a1 @ self.a2)
        gate = torch.sigmoid(x_g @ self.g1) @ self.g2
        heads = (-1, HEAD)
        removal = F.normalize((k * self.k_k).unflatten(-1, heads), dim=-1)
        k = torch.addcmul(k, k, (rate - 1) * self.k_a)
        r, log_w, k, v_heads, rate = (t.unflatten(-1, heads) for t in (r, log_w, k, v, rate))
        y = wkv7_chunked(r, log_w, k, v_heads, -removal, removal * rate)
        y = self.ln_x(y.flatten(0, 1).flatten(1)).view(x.shape)
        bonus = (r * k * self.r_k).sum(-1, keepdim=True) * v_heads
        return self.output((y + bonus.flatten(-2)) * gate), v_first

    def _vector(self, name: str, value: torch.Tensor) -> None:
        setattr(self, name, nn.Parameter(value.float().view(1, 1, -1)))

    def _low_rank(self, name: str, rank: int) -> None:
        """`<name>1` [D, R] of zeros and `<name>2` [R, D]: the branch begins as nothing, and both learn."""
        width = self.x_r.shape[-1]
        setattr(self, f"{name}1", nn.Parameter(torch.zeros(width, rank)))
        setattr(self, f"{name}2", nn.Parameter(nn.init.orthogonal_(torch.empty(rank, width), gain=0.1)))


class ChannelMix(nn.Module):
    """relu(key(x shifted)) ** 2, then value."""

    def __init__(self, shape: RWKV7Shape, layer: int) -> None:
        super().__init__()
        channel = torch.arange(shape.width) / shape.width
        self.x_k = nn.Parameter((1 - channel ** ((1 - layer / shape.n_layers) ** 4)).view(1, 1, -1))
        self.key = _linear(shape.ffn_width, shape.width, 0.5 / math.sqrt(shape.width))
        self.value = _linear(shape.width, shape.ffn_width, 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value(torch.relu(self.key(torch.addcmul(x, _previous(x) - x, self.x_k))).square())


def _previous(x: torch.Tensor) -> torch.Tensor:
    """x [B, T, D] one token later; zeros come before the first."""
    return F.pad(x[:, :-1], (0, 0, 1, 0))


def _linear(rows: int, columns: int, bound: float) -> nn.Linear:
    linear = nn.Linear(columns, rows, bias=False)
    nn.init.uniform_(linear.weight, -bound, bound)
    return linear

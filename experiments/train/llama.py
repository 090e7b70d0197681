"""A Llama for training: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embedding.

B sequences of T tokens, D = width, heads of N = 64. `state_dict()` has the tensor names of Hugging Face.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

HEAD = 64
ROPE_THETA = 10000.0
NORM_EPS = 1e-5
EMBEDDING_STD = 0.05  # it is also the head, and the first logits are about sqrt(D) times as large


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a model."""

    vocab_size: int
    width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    ffn_width: int


class Llama(nn.Module):
    """Tokens [B, T] to logits [B, T, vocab_size]; the head is the embedding."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        nn.init.normal_(self.model.embed_tokens.weight, std=EMBEDDING_STD)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and "_proj" in name:
                # What is added to the residual stream starts smaller, so that depth does not widen it (GPT-2).
                narrow = name.endswith(("o_proj.weight", "down_proj.weight"))
                depth = 2 * shape.n_layers if narrow else 1
                nn.init.normal_(parameter, std=(parameter.shape[1] * depth) ** -0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.linear(self.model(tokens), self.model.embed_tokens.weight)


class Decoder(nn.Module):
    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.n_layers))
        self.norm = nn.RMSNorm(shape.width, eps=NORM_EPS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed_tokens(tokens)
        angles = torch.outer(torch.arange(tokens.shape[1]), ROPE_THETA ** -(torch.arange(0, HEAD, 2) / HEAD))
        for layer in self.layers:
            x = layer(x, angles.cos(), angles.sin())
        return self.norm(x)


class Layer(nn.Module):
    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, eps=NORM_EPS)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=NORM_EPS)
        self.mlp = MLP(shape)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Attention(nn.Module):
    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.q_proj = nn.Linear(shape.width, shape.n_heads * HEAD, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.n_kv_heads * HEAD, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.n_kv_heads * HEAD, bias=False)
        self.o_proj = nn.Linear(shape.n_heads * HEAD, shape.width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            project(x).unflatten(-1, (-1, HEAD)).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        group = q.shape[1] // k.shape[1]
        k, v = (t.repeat_interleave(group, 1) for t in (rotate(k, cos, sin), v))
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.ffn_width, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.ffn_width, bias=False)
        self.down_proj = nn.Linear(shape.ffn_width, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """x [B, H, T, N], with channel i and i + N / 2 as a pair, turned by the angles of cos and sin [T, N / 2]."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

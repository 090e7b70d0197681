"""Tiny random models written on the fly, and a plain forward pass to hold the real one against."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize, quantize
from torch import Tensor
from torch.nn.functional import silu

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class TinyModel:
    """The shape of a random model and how its matrices are stored (by the end of their names, else
    `stored`)."""

    arch: str = "llama"
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    width: int = 64
    ffn: int = 96
    layers: int = 2
    tied: bool = True
    bias: bool = False
    rotary: int | None = None
    divisors: bool = False
    stored: T = T.F32
    special_types: dict[str, T] = field(default_factory=dict, hash=False)


def byte_characters() -> list[str]:
    """The 256 characters of byte-level BPE, by byte."""
    taken = [b for b in range(256) if chr(b).isprintable() and not chr(b).isspace() and b != 0xAD]
    extra = iter(range(256, 512))
    return [chr(b) if b in taken else chr(next(extra)) for b in range(256)]


def tiny_vocabulary() -> tuple[list[str], list[str]]:
    """Pieces and merges of a small byte-level vocabulary."""
    merges = ["t h", "th e", "Ġ the", "i n", "Ġ Ġ"]
    pieces = SPECIALS + byte_characters() + [merge.replace(" ", "") for merge in merges]
    return pieces, merges


def write_tiny_gguf(path: Path, tiny: TinyModel, seed: int = 0) -> Path:
    """Write the model with random weights."""
    random = np.random.default_rng(seed)
    pieces, merges = tiny_vocabulary()
    writer = gguf.GGUFWriter(path, tiny.arch)
    writer.add_block_count(tiny.layers)
    writer.add_context_length(128)
    writer.add_embedding_length(tiny.width)
    writer.add_feed_forward_length(tiny.ffn)
    writer.add_head_count(tiny.heads)
    writer.add_head_count_kv(tiny.kv_heads)
    writer.add_key_length(tiny.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500.0)
    writer.add_rope_dimension_count(tiny.rotary or tiny.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(pieces)
    writer.add_token_types([3] * len(SPECIALS) + [1] * (len(pieces) - len(SPECIALS)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHATML)

    def matrix(name: str, rows: int, columns: int, scale: float) -> None:
        data = random.normal(size=(rows, columns), scale=scale).astype(np.float32)
        stored = next((t for end, t in tiny.special_types.items() if name.endswith(end)), tiny.stored)
        writer.add_tensor(f"{name}.weight", quantize(data, stored), raw_dtype=stored)

    def vector(name: str, size: int, mean: float) -> None:
        writer.add_tensor(name, random.normal(mean, 0.2, size).astype(np.float32))

    q, kv = tiny.heads * tiny.head_dim, tiny.kv_heads * tiny.head_dim
    matrix("token_embd", len(pieces), tiny.width, 1.0)
    for layer in range(tiny.layers):
        for name, rows, columns in (
            ("attn_q", q, tiny.width), ("attn_k", kv, tiny.width), ("attn_v", kv, tiny.width),
            ("attn_output", tiny.width, q), ("ffn_gate", tiny.ffn, tiny.width), ("ffn_up", tiny.ffn,
            tiny.width),
            ("ffn_down", tiny.width, tiny.ffn),
        ):  # fmt: skip
            matrix(f"blk.{layer}.{name}", rows, columns, 2 / math.sqrt(columns))
            if tiny.bias and name in ("attn_q", "attn_k", "attn_v"):
                vector(f"blk.{layer}.{name}.bias", rows, 0.0)
        vector(f"blk.{layer}.attn_norm.weight", tiny.width, 1.0)
        vector(f"blk.{layer}.ffn_norm.weight", tiny.width, 1.0)
    vector("output_norm.weight", tiny.width, 1.0)
    if not tiny.tied:
        matrix("output", len(pieces), tiny.width, 0.1)
    if tiny.divisors:
        divisors = np.linspace(1, 3, (tiny.rotary or tiny.head_dim) // 2, dtype=np.float32)
        writer.add_tensor("rope_freqs.weight", divisors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def dense_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a GGUF file as f32, by the gguf package's own reader."""
    tensors = gguf.GGUFReader(path).tensors
    return {t.name: torch.from_numpy(dequantize(t.data, t.tensor_type).astype(np.float32)) for t in tensors}


def plain_logits(tensors: dict[str, Tensor], tiny: TinyModel, tokens: list[int]) -> Tensor:
    """Logits [T, V] of one sequence: dense causal attention, no cache, no packing, f64."""
    w = {name: tensor.double() for name, tensor in tensors.items()}
    rotary = tiny.rotary or tiny.head_dim
    rates = 500.0 ** -(torch.arange(0, rotary, 2).double() / rotary) / w.get("rope_freqs.weight", 1.0)
    turns = torch.polar(torch.ones(1).double(), torch.arange(len(tokens))[:, None, None] * rates)

    def norm(x: Tensor, name: str) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * w[f"{name}.weight"]

    def rope(x: Tensor) -> Tensor:
        x, rest = x[..., :rotary], x[..., rotary:]
        neighbours = tiny.arch == "llama"
        pairs = x.unflatten(-1, (-1, 2)) if neighbours else x.unflatten(-1, (2, -1)).transpose(-1, -2)
        turned = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turns)
        return torch.cat(((turned if neighbours else turned.transpose(-1, -2)).flatten(-2), rest), -1)

    x = w["token_embd.weight"][tokens]
    for layer in range(tiny.layers):
        p = f"blk.{layer}"
        h = norm(x, f"{p}.attn_norm")
        q, k, v = (
            (h @ w[f"{p}.attn_{n}.weight"].T + w.get(f"{p}.attn_{n}.bias", 0)).unflatten(
                -1, (-1, tiny.head_dim)
            )
            for n in "qkv"
        )
        k, v = (y.repeat_interleave(tiny.heads // tiny.kv_heads, dim=1) for y in (rope(k), v))
        scores = torch.einsum("qhd,khd->hqk", rope(q), k) / math.sqrt(tiny.head_dim)
        scores = scores.masked_fill(torch.ones(len(tokens), len(tokens)).triu(1).bool(), -math.inf)
        x = (
            x
            + torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1) @ w[f"{p}.attn_output.weight"].T
        )
        h = norm(x, f"{p}.ffn_norm")
        gated = silu(h @ w[f"{p}.ffn_gate.weight"].T) * (h @ w[f"{p}.ffn_up.weight"].T)
        x = x + gated @ w[f"{p}.ffn_down.weight"].T
    return norm(x, "output_norm") @ w.get("output.weight", w["token_embd.weight"]).T


@dataclass(frozen=True)
class TinyFile:
    """A tiny model on disk, with the oracle of its logits."""

    path: Path
    tiny: TinyModel
    tensors: dict[str, Tensor]

    def logits(self, tokens: list[int]) -> Tensor:
        return plain_logits(self.tensors, self.tiny, tokens).float()


VARIANTS = {
    "q4_0 grouped untied": TinyModel(stored=T.Q4_0, tied=False),
    "q4_1 with q8_0 head": TinyModel(
        heads=3, kv_heads=1, head_dim=32, width=96, stored=T.Q4_1, special_types={"token_embd": T.Q8_0}
    ),
    "f16 biased qwen2": TinyModel(
        arch="qwen2", heads=4, kv_heads=4, head_dim=24, width=96, bias=True, stored=T.F16
    ),
    "mixed, partial rope": TinyModel(
        rotary=8,
        divisors=True,
        stored=T.Q5_1,
        special_types={"attn_v": T.Q8_0, "ffn_down": T.F32, "ffn_up": T.Q4_0},
    ),
}

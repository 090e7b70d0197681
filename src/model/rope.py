"""Rotary position embeddings: the frequencies that a model file asks for, and the table of their angles.

    angle(p, i) = p * f_i        f_i = theta^(-2i / rotary_dim), then changed by the file's scaling

Sources: RoFormer (arXiv 2104.09864); linear position interpolation (arXiv 2306.15595); YaRN (arXiv
2309.00071); "llama3" is Llama 3.1's smoothed interpolation by wavelength.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch

from model.errors import ModelFileError
from model.gguf_file import GGUFFile

ScalingKind = Literal["none", "linear", "llama3", "yarn"]


@dataclass(frozen=True)
class RopeScaling:
    """How frequencies are stretched beyond the context the model was trained on.

    low, high: between them "stretched" turns into "kept", in turns over `original_context` (llama3:
    low_freq_factor, high_freq_factor; yarn: beta_slow, beta_fast). attention_factor multiplies the table.
    """

    kind: ScalingKind = "none"
    factor: float = 1.0
    original_context: int = 0
    low: float = 1.0
    high: float = 4.0
    attention_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.factor <= 0 or not 0 < self.low < self.high:
            raise ModelFileError(f"rope scaling {self} is out of range")
        if self.kind in ("llama3", "yarn") and self.original_context <= 0:
            raise ModelFileError(f"rope scaling {self.kind} needs the original context length")


@dataclass(frozen=True)
class RopeConfig:
    """theta: base of the frequencies; rotary_dim: rotated dimensions of a head; interleaved: pairs are (2i,
    2i+1) and not (i, i + rotary_dim / 2); divisors: f_i is divided by divisors[i] (empty: by nothing)."""

    theta: float
    rotary_dim: int
    interleaved: bool
    scaling: RopeScaling = RopeScaling()
    divisors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.theta <= 0:
            raise ModelFileError(f"rope base {self.theta} must be positive")
        if self.divisors and (len(self.divisors) != self.rotary_dim // 2 or min(self.divisors) <= 0):
            raise ModelFileError(f"rope frequency factors must be {self.rotary_dim // 2} positive numbers")


def rope_table(rope: RopeConfig, positions: int) -> torch.Tensor:
    """Cosines (first half of a row) and sines (second half) of positions 0..positions-1, f32 [positions,
    rotary_dim]."""
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), frequencies(rope))
    return (torch.cat((angles.cos(), angles.sin()), dim=1) * rope.scaling.attention_factor).float()


def frequencies(rope: RopeConfig) -> torch.Tensor:
    """Radians per position of each rotary pair, f64 [rotary_dim / 2]."""
    base = rope.theta ** -(torch.arange(0, rope.rotary_dim, 2, dtype=torch.float64) / rope.rotary_dim)
    if rope.divisors:
        base = base / torch.tensor(rope.divisors, dtype=torch.float64)
    scaling = rope.scaling
    match scaling.kind:
        case "none":
            return base
        case "linear":
            return base / scaling.factor
        case "llama3":  # linear in the number of turns over the original context
            turns = scaling.original_context * base / (2 * math.pi)
            keep = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
        case "yarn":  # linear in the index of the pair, between whole indices
            first = math.floor(_pair_of_turns(rope, scaling.high))
            last = math.ceil(_pair_of_turns(rope, scaling.low))
            first, last = max(first, 0), min(last, rope.rotary_dim - 1)
            index = torch.arange(rope.rotary_dim // 2, dtype=torch.float64)
            keep = 1 - ((index - first) / max(last - first, 1e-3)).clamp(0, 1)
    return base * keep + base / scaling.factor * (1 - keep)


def _pair_of_turns(rope: RopeConfig, turns: float) -> float:
    """The (fractional) index of the pair that turns this often over the original context."""
    context = rope.scaling.original_context
    return rope.rotary_dim * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))


def rope_from_gguf(file: GGUFFile, arch: str, head_dim: int, interleaved: bool) -> RopeConfig:
    """Read the rotary embedding of a GGUF file. Raises ModelFileError on an unknown scaling."""
    prefix = f"{arch}.rope.scaling"
    kind = _kind(file.get(f"{prefix}.type", str, "none"))
    factor = file.get(f"{prefix}.factor", float, 1.0)
    low, high = 1.0, 4.0
    attention_factor = 1.0
    if kind == "yarn":
        low, high = (
            file.get(f"{prefix}.yarn_beta_slow", float, 1.0),
            file.get(f"{prefix}.yarn_beta_fast", float, 32.0),
        )
        attention_factor = file.get(f"{prefix}.attn_factor", float, 1.0) * _yarn_attention(factor)
    divisors: tuple[float, ...] = ()
    if info := file.tensors.get(
        "rope_freqs.weight"
    ):  # Llama 3.1 and later: the smoothing, worked out by the converter
        divisors = tuple(file.dense(info, torch.float32).tolist())
    return RopeConfig(
        theta=file.get(f"{arch}.rope.freq_base", float, 10000.0),
        rotary_dim=file.get(f"{arch}.rope.dimension_count", int, head_dim),
        interleaved=interleaved,
        scaling=RopeScaling(
            kind, factor, file.get(f"{prefix}.original_context_length", int, 0), low, high, attention_factor
        ),
        divisors=divisors,
    )


def rope_from_hub(values: dict[str, Any], head_dim: int) -> RopeConfig:
    """Read the rotary embedding of a `config.json` (`rope_parameters`, or `rope_theta` and
    `rope_scaling`)."""
    settings = {"rope_theta": values.get("rope_theta", 10000.0)}
    settings |= values.get("rope_scaling") or {}
    settings |= values.get("rope_parameters") or {}
    kind = _kind(str(settings.get("rope_type", settings.get("type", "none"))))
    factor = float(settings.get("factor", 1.0))
    low, high, attention_factor = 1.0, 4.0, 1.0
    if kind == "llama3":
        low, high = float(settings["low_freq_factor"]), float(settings["high_freq_factor"])
    elif kind == "yarn":
        low, high = float(settings.get("beta_slow") or 1.0), float(settings.get("beta_fast") or 32.0)
        attention_factor = float(settings.get("attention_factor") or _yarn_attention(factor))
    original = int(settings.get("original_max_position_embeddings") or values["max_position_embeddings"])
    share = float(settings.get("partial_rotary_factor", values.get("partial_rotary_factor", 1.0)))
    return RopeConfig(
        theta=float(settings["rope_theta"]),
        rotary_dim=int(head_dim * share),
        interleaved=False,
        scaling=RopeScaling(kind, factor, original, low, high, attention_factor),
    )


def _kind(name: str) -> ScalingKind:
    name = {"default": "none"}.get(name, name)
    if name not in get_args(ScalingKind):
        raise ModelFileError(
            f"rope scaling {name!r} is not supported (only {', '.join(get_args(ScalingKind))})"
        )
    return cast(ScalingKind, name)


def _yarn_attention(factor: float) -> float:
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0

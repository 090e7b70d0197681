"""The shape of a Llama-family transformer, read from GGUF metadata or from a Hugging Face `config.json`."""

from dataclasses import dataclass
from typing import Any

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.rope import RopeConfig, rope_from_gguf, rope_from_hub

# GGUF stores the query and key rows of these architectures permuted, so that rotary pairs are neighbours.
_GGUF_INTERLEAVED = {"llama": True, "qwen2": False}
_LONGEST_CONTEXT = 1 << 20  # the table of rotary positions is as long
_HUB_MODEL_TYPES = ("llama", "mistral", "qwen2")


@dataclass(frozen=True)
class LlamaConfig:
    """A pre-norm decoder with grouped-query attention, rotary positions and a SwiGLU MLP.

    vocab_size is the number of rows of embedding and head; context_length the longest sequence, in tokens.
    Raises ModelFileError if the numbers contradict each other.
    """

    vocab_size: int
    width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    ffn_width: int
    norm_eps: float
    context_length: int
    rope: RopeConfig

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "width",
            "n_layers",
            "n_heads",
            "n_kv_heads",
            "head_dim",
            "ffn_width",
            "context_length",
        ):
            if getattr(self, name) <= 0:
                raise ModelFileError(
                    f"model configuration: {name} is {getattr(self, name)}, must be positive"
                )
        if self.context_length > _LONGEST_CONTEXT or not self.norm_eps >= 0:
            raise ModelFileError(
                f"model configuration: a context of {self.context_length} tokens (limit {_LONGEST_CONTEXT}) "
                f"or an epsilon of {self.norm_eps} is not possible"
            )
        if self.n_heads % self.n_kv_heads:
            raise ModelFileError(
                f"model configuration: {self.n_heads} query heads cannot share {self.n_kv_heads} key heads"
            )
        if self.rope.rotary_dim > self.head_dim or self.rope.rotary_dim % 2 or self.rope.rotary_dim <= 0:
            raise ModelFileError(
                f"model configuration: {self.rope.rotary_dim} rotary of {self.head_dim} dimensions"
            )


def config_from_gguf(file: GGUFFile) -> LlamaConfig:
    """Read the configuration. Raises ModelFileError on another architecture or a missing or odd value."""
    arch = file.get("general.architecture", str)
    if arch not in _GGUF_INTERLEAVED:
        raise ModelFileError(
            f"{file.path}: architecture {arch!r} is not supported (only {', '.join(_GGUF_INTERLEAVED)} and rwkv7)"
        )
    if "token_embd.weight" not in file.tensors:
        raise ModelFileError(f"{file.path}: there is no tensor token_embd.weight")
    if file.get(f"{arch}.expert_count", int, 0):
        raise ModelFileError(f"{file.path}: mixtures of experts are not supported")
    width = file.get(f"{arch}.embedding_length", int)
    n_heads = file.get(f"{arch}.attention.head_count", int)
    head_dim = file.get(f"{arch}.attention.key_length", int, width // max(n_heads, 1))
    return LlamaConfig(
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        width=width,
        n_layers=file.get(f"{arch}.block_count", int),
        n_heads=n_heads,
        n_kv_heads=file.get(f"{arch}.attention.head_count_kv", int, n_heads),
        head_dim=head_dim,
        ffn_width=file.get(f"{arch}.feed_forward_length", int),
        norm_eps=file.get(f"{arch}.attention.layer_norm_rms_epsilon", float),
        context_length=file.get(f"{arch}.context_length", int),
        rope=rope_from_gguf(file, arch, head_dim, _GGUF_INTERLEAVED[arch]),
    )


def config_from_hub(values: dict[str, Any]) -> LlamaConfig:
    """Read the configuration from a parsed `config.json`. Raises ModelFileError as above."""
    model_type = values.get("model_type")
    if model_type not in _HUB_MODEL_TYPES:
        raise ModelFileError(
            f"config.json: model type {model_type!r} is not supported (only {', '.join(_HUB_MODEL_TYPES)})"
        )
    windowed = values.get("use_sliding_window", model_type == "mistral")
    if windowed and values.get("sliding_window"):
        raise ModelFileError("config.json: sliding-window attention is not supported")
    if values.get("mlp_bias"):
        raise ModelFileError("config.json: a bias in the MLP is not supported")
    if values.get("hidden_act", "silu") != "silu":
        raise ModelFileError(f"config.json: activation {values['hidden_act']!r} is not supported (only silu)")
    try:
        n_heads = int(values["num_attention_heads"])
        width = int(values["hidden_size"])
        head_dim = int(values.get("head_dim") or width // max(n_heads, 1))
        return LlamaConfig(
            vocab_size=int(values["vocab_size"]),
            width=width,
            n_layers=int(values["num_hidden_layers"]),
            n_heads=n_heads,
            n_kv_heads=int(values.get("num_key_value_heads") or n_heads),
            head_dim=head_dim,
            ffn_width=int(values["intermediate_size"]),
            norm_eps=float(values["rms_norm_eps"]),
            context_length=int(values["max_position_embeddings"]),
            rope=rope_from_hub(values, head_dim),
        )
    except KeyError as error:
        raise ModelFileError(f"config.json has no {error.args[0]}") from None
    except (TypeError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"config.json: {error}") from error

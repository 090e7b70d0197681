"""The shape of an RWKV-7, read from the tensors of its file; what they do not tell comes from the file's metadata."""

from dataclasses import dataclass
from typing import Any

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.rwkv7_names import Rwkv7Names
from model.tensor_reader import TensorFile, tensor_shape

_NORM_EPS = 1e-5
HEAD_NORM_EPS = 64e-5  # of the group norm behind the recurrence, whatever the head size
_CONTEXT_LENGTH = 1 << 20  # a state has no positions and no limit: the number bounds what a request may ask for


@dataclass(frozen=True)
class Rwkv7Config:
    """vocab_size: rows of embedding and head; head_size: channels of a head, whose state is a square of them;
    norm_eps: of the layer norms; context_length: the longest sequence, in tokens.

    Raises ModelFileError if the numbers contradict each other.
    """

    vocab_size: int
    width: int
    n_layers: int
    head_size: int
    ffn_width: int
    norm_eps: float = _NORM_EPS
    context_length: int = _CONTEXT_LENGTH

    def __post_init__(self) -> None:
        if self.head_size not in (16, 32, 64, 128) or self.width % self.head_size:
            raise ModelFileError(
                f"model configuration: a width of {self.width} cannot be cut into heads of {self.head_size} "
                "(supported: 16, 32, 64 or 128)"
            )
        if not 0 < self.norm_eps < 1:
            raise ModelFileError(f"model configuration: an epsilon of {self.norm_eps} is not possible")

    @property
    def n_heads(self) -> int:
        return self.width // self.head_size


def rwkv7_config(file: TensorFile, names: Rwkv7Names, hub: dict[str, Any] | None = None) -> Rwkv7Config:
    """Read the configuration. hub: the values of a `config.json` beside Safetensors, which may only tell the epsilon.

    Raises ModelFileError if a tensor that tells a size is missing or another one denies it.
    """
    vocab_size, width = _matrix_shape(file, names.of("emb.weight"))
    ffn_width, _ = _matrix_shape(file, names.of("ffn.key.weight", 0))
    n_layers = 1 + max(names.layers(file))
    if isinstance(file, GGUFFile):
        return Rwkv7Config(
            vocab_size=vocab_size,
            width=width,
            n_layers=_agreed(file, n_layers, "rwkv7.block_count"),
            head_size=file.get("rwkv7.wkv.head_size", int),
            ffn_width=_agreed(file, ffn_width, "rwkv7.feed_forward_length"),
            norm_eps=file.get("rwkv7.attention.layer_norm_epsilon", float, _NORM_EPS),
        )
    n_heads, head_size = _matrix_shape(file, names.of("att.r_k", 0))
    norm_eps = _NORM_EPS if hub is None else _hub_norm_eps(hub, head_size)
    config = Rwkv7Config(vocab_size, width, n_layers, head_size, ffn_width, norm_eps)
    if config.n_heads != n_heads:
        raise ModelFileError(
            f"{file.path}: {n_heads} heads of {head_size} in {names.of('att.r_k', 0)} do not make a width of {width}"
        )
    return config


def _matrix_shape(file: TensorFile, name: str) -> tuple[int, int]:
    if name not in file.tensors:
        raise ModelFileError(f"{file.path}: there is no tensor {name}, so this is no RWKV-7")
    shape = tensor_shape(file, name)
    if len(shape) != 2 or 0 in shape:
        raise ModelFileError(f"{file.path}: tensor {name} is {shape}, expected a matrix")
    return shape[0], shape[1]


def _agreed(file: GGUFFile, found: int, key: str) -> int:
    told = file.get(key, int, found)
    if told != found:
        raise ModelFileError(f"{file.path}: {key} is {told}, but the tensors say {found}")
    return found


def _hub_norm_eps(values: dict[str, Any], head_size: int) -> float:
    """The epsilon of the layer norms; that of the group norm grows with it and with the head there."""
    eps = values.get("norm_eps", _NORM_EPS)
    if type(eps) is not float or abs(eps * head_size / HEAD_NORM_EPS - 1) > 1e-6:
        raise ModelFileError(
            f"config.json: norm_eps {eps!r} with heads of {head_size} is not supported: "
            f"the group norm's epsilon, their product, is to be {HEAD_NORM_EPS}"
        )
    return eps

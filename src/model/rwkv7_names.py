"""What the tensors of an RWKV-7 are called: in the published checkpoints, on Hugging Face (fla), and in GGUF.

Everything else speaks of them by the published names, `emb.weight` or `att.x_r` of a layer, but that the norm of the
embedding is `ln0` and belongs to no layer, and that `att.x_x` is the six of `att.x_r, x_w, x_k, x_v, x_a, x_g` in one.
"""

import re
from typing import NamedTuple

from model.errors import ModelFileError
from model.gguf_file import GGUFFile
from model.tensor_reader import TensorFile

_FLA_TOP = {"emb": "model.embeddings", "ln0": "model.layers.0.pre_norm", "ln_out": "model.norm", "head": "lm_head"}
_FLA_LAYER = {
    "ln1": "attn_norm", "ln2": "ffn_norm",
    "att.receptance": "attn.r_proj", "att.key": "attn.k_proj", "att.value": "attn.v_proj",
    "att.output": "attn.o_proj", "att.ln_x": "attn.g_norm",
    **{f"att.{name}": f"attn.{name}" for name in ("x_x", "k_k", "k_a", "r_k", *(f"x_{x}" for x in "rwkvag"))},
    **{f"att.{branch}0": f"attn.{branch}_lora.lora.2.bias" for branch in "wav"},
    **{f"att.{branch}1": f"attn.{branch}_lora.lora.0.weight" for branch in "wavg"},
    **{f"att.{branch}2": f"attn.{branch}_lora.lora.2.weight" for branch in "wavg"},
}  # fmt: skip
_GGUF_TOP = {"emb": "token_embd", "ln0": "token_embd_norm", "ln_out": "output_norm", "head": "output"}
_GGUF_LAYER = {
    "ln1": "attn_norm", "ln2": "attn_norm_2",
    "att.receptance": "time_mix_receptance", "att.key": "time_mix_key", "att.value": "time_mix_value",
    "att.output": "time_mix_output", "att.ln_x": "time_mix_ln",
    "att.x_x": "time_mix_lerp_fused.weight", "att.k_k": "time_mix_k_k.weight", "att.k_a": "time_mix_k_a.weight",
    "att.r_k": "time_mix_r_k.weight", "ffn.x_k": "channel_mix_lerp_k.weight",
    "ffn.key": "channel_mix_key", "ffn.value": "channel_mix_value",
    **{f"att.{branch}0": f"time_mix_{branch}0.weight" for branch in "wav"},
    **{f"att.{branch}{i}": f"time_mix_{branch}{i}.weight" for branch in "wavg" for i in "12"},
}  # fmt: skip


class Rwkv7Names(NamedTuple):
    """The names in one kind of file. turned: the low-rank matrices `att.w1` and `att.w2` lie as [D, R] and [R, D],
    input first, as no other matrix does."""

    prefix: str  # of the layers
    top: dict[str, str]
    layer: dict[str, str]
    turned: bool

    def of(self, name: str, layer: int | None = None) -> str:
        """The file's name of a tensor. Tables have names with or without their `weight` and `bias`; what is in none
        is the same everywhere."""
        table = self.top if layer is None else self.layer
        stem, _, kind = name.rpartition(".")
        own = table.get(name) or f"{table.get(stem, stem)}.{kind}"
        return own if layer is None else f"{self.prefix}.{layer}.{own}"

    def layers(self, file: TensorFile) -> set[int]:
        """The layers that the file has tensors of."""
        numbers = (re.match(rf"{re.escape(self.prefix)}\.(\d{{1,6}})\.", name) for name in file.tensors)
        return {int(number[1]) for number in numbers if number}


OFFICIAL = Rwkv7Names("blocks", {"ln0": "blocks.0.ln0"}, {}, turned=True)
FLA = Rwkv7Names("model.layers", _FLA_TOP, _FLA_LAYER, turned=False)
GGUF = Rwkv7Names("blk", _GGUF_TOP, _GGUF_LAYER, turned=False)


def find_names(file: TensorFile) -> Rwkv7Names | None:
    """The names that the file uses, None if it is no RWKV."""
    if isinstance(file, GGUFFile):
        return GGUF if file.metadata.get("general.architecture") == "rwkv7" else None
    return next((names for names in (OFFICIAL, FLA) if names.of("emb.weight") in file.tensors), None)


def check_no_others(file: TensorFile, names: Rwkv7Names, read: set[str]) -> None:
    """Refuse a file with tensors that nobody has read: it is of a kind that does more than an RWKV-7.

    The value branch of the first layer, which has no use, may be there.
    """
    idle = {names.of(f"att.v{i}", 0) for i in "012"}
    for name in file.tensors:
        if name not in read and name not in idle:
            raise ModelFileError(f"{file.path}: tensor {name} is not part of an RWKV-7")

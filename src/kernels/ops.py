"""The operations that a model is made of, from the backend that a run asks for."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

from kernels.filters import FILTERS
from kernels.packed import LowRank, PackedColumns, Weight

Backend = Literal["compiled", "interpret", "reference"]


class RopeAndCache(Protocol):
    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor, cos_sin: Tensor, slots: Tensor,
        k_cache: Tensor, v_cache: Tensor, interleaved: bool,
    ) -> None: ...  # fmt: skip


class PagedAttention(Protocol):
    def __call__(
        self, q: Tensor, k_cache: Tensor, v_cache: Tensor, block_tables: Tensor, cu_seqlens: Tensor,
        context_lens: Tensor, scratch: Tensor, out: Tensor, scale: float, max_query_len: int,
    ) -> Tensor: ...  # fmt: skip


class Linear(Protocol):
    def __call__(
        self, x: Tensor, weight: Weight, out: Tensor, bias: Tensor | None = None,
        activation: Literal["none", "relu_squared"] = "none",
    ) -> Tensor: ...  # fmt: skip


class TokenShift(Protocol):
    def __call__(
        self, x: Tensor, mixes: Tensor, state: Tensor, slots: Tensor, cu_seqlens: Tensor, sequence_ids: Tensor,
        read_rows: Tensor, first_rows: Tensor, out: Tensor,
    ) -> Tensor: ...  # fmt: skip


class LowRankBranches(Protocol):
    def __call__(
        self, x: Tensor, decay: LowRank, rate: LowRank, gate: LowRank, value: LowRank | None, hidden: Tensor,
        log_w: Tensor, alpha: Tensor, g: Tensor, nu: Tensor | None,
    ) -> Tensor: ...  # fmt: skip


class Wkv7Inputs(Protocol):
    def __call__(
        self, k: Tensor, v: Tensor, alpha: Tensor, nu: Tensor | None, v_first: Tensor, k_k: Tensor, k_a: Tensor,
        head_size: int, k_out: Tensor, v_out: Tensor, a: Tensor, b: Tensor,
    ) -> Tensor: ...  # fmt: skip


class Wkv7(Protocol):
    def __call__(
        self, r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, slots: Tensor,
        cu_seqlens: Tensor, log_lens: Tensor, out: Tensor, max_query_len: int, snapshots: Tensor | None = None,
    ) -> Tensor: ...  # fmt: skip


class Wkv7Delayed(Protocol):
    def __call__(
        self, r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, log: Tensor,
        slots: Tensor, cu_seqlens: Tensor, log_lens: Tensor, out: Tensor,
    ) -> Tensor: ...  # fmt: skip


class TimeMixOutput(Protocol):
    def __call__(
        self, y: Tensor, r: Tensor, k: Tensor, v: Tensor, g: Tensor, weight: Tensor, bias: Tensor, r_k: Tensor,
        eps: float, out: Tensor,
    ) -> Tensor: ...  # fmt: skip


class Sample(Protocol):
    def __call__(
        self, logits: Tensor, temperature: Tensor, top_k: Tensor, top_p: Tensor, min_p: Tensor, seeds: Tensor,
        positions: Tensor, out: Tensor, order: tuple[str, ...] = FILTERS,
    ) -> Tensor: ...  # fmt: skip


class Ops(NamedTuple):
    """Arguments, shapes and errors: the functions of the same names in kernels/."""

    backend: Backend
    embedding: Callable[[Tensor, Weight, Tensor], Tensor]
    add_rms_norm: Callable[[Tensor, Tensor, float, Tensor, Tensor | None], Tensor]
    add_layer_norm: Callable[[Tensor, Tensor, Tensor, float, Tensor, Tensor | None], Tensor]
    linear: Linear
    sparse_linear: Callable[[Tensor, Tensor | PackedColumns, Tensor, Tensor], Tensor]
    swiglu: Callable[[Tensor, Weight, Weight, Tensor], Tensor]
    rope_and_cache: RopeAndCache
    paged_attention: PagedAttention
    token_shift: TokenShift
    low_rank: LowRankBranches
    wkv7_inputs: Wkv7Inputs
    wkv7: Wkv7
    wkv7_delayed: Wkv7Delayed
    wkv7_fold: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    time_mix_output: TimeMixOutput
    mask_logits: Callable[[Tensor, Tensor, Tensor], None]
    adjust_logits: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]
    argmax: Callable[[Tensor, Tensor], Tensor]
    log_probs: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    top_log_probs: Callable[[Tensor, Tensor, Tensor], Tensor]
    sample: Sample


MODULES = {  # of the others the module has the name
    "add_rms_norm": "rms_norm",
    "add_layer_norm": "layer_norm",
    "rope_and_cache": "rope",
    "wkv7_fold": "wkv7_delayed",
}


# Kernels that otherwise choose among forms which round differently, by how many rows or tokens there are.
CHOOSING = ("linear", "sparse_linear", "swiglu", "paged_attention", "low_rank", "wkv7", "wkv7_delayed")


def load_ops(backend: Backend, invariant: bool = False) -> Ops:
    """The operations of one backend: Triton kernels compiled or interpreted, or the plain torch oracles.

    invariant: on a CPU, what a model computes for a token is the same to the last bit whatever else is in its batch
    and in whatever chunks its sequence came, as the kernels in CHOOSING keep to one form. Prompts take longer.
    RuntimeError for all but "compiled".

    Triton decides when it is imported whether it interprets, for the whole process: "interpret" raises
    RuntimeError where Triton was imported to compile. "compiled" obeys TRITON_INTERPRET=1 of the environment.
    """
    if invariant and backend != "compiled":
        raise RuntimeError(f"kernels.invariant=true needs kernels=compiled, not {backend}")
    package = "kernels"
    if backend == "reference":
        package = "kernels.reference"
    elif backend == "interpret":
        _interpret()
    elif _interprets():
        backend = "interpret"
    functions: dict[str, Any] = {}
    for name in Ops._fields[1:]:
        module = importlib.import_module(f"{package}.{MODULES.get(name, name)}")
        function = getattr(module, name)
        functions[name] = partial(function, invariant=True) if invariant and name in CHOOSING else function
    return Ops(backend, **functions)


def _interprets() -> bool:
    import triton

    return bool(triton.knobs.runtime.interpret)


def _interpret() -> None:
    if "triton" not in sys.modules:
        os.environ["TRITON_INTERPRET"] = "1"
    elif not _interprets():
        raise RuntimeError("kernels=interpret: Triton was imported to compile; set TRITON_INTERPRET=1 and start again")

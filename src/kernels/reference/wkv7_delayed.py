"""Oracle of kernels.wkv7_delayed: the entries are replayed, forwards."""

import torch
from torch import Tensor

from kernels.reference.wkv7 import advance


def replay(state: Tensor, entries: Tensor) -> Tensor:
    """The state [H, N, N] after entries [n, 5, H, N] of a log."""
    for log_w, k, v, a, b in entries.to(state.dtype):
        state = advance(state, log_w, k, v, a, b)
    return state


def wkv7_delayed(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, log: Tensor, slots: Tensor,
    cu_seqlens: Tensor, log_lens: Tensor, out: Tensor,
) -> Tensor:  # fmt: skip
    bounds = cu_seqlens.tolist()
    for slot, first, end in zip(slots.tolist(), bounds[:-1], bounds[1:], strict=True):
        if slot < 0:
            out[first:end] = 0
        elif log_lens[slot] >= 0:
            for entry, t in enumerate(range(first, end), start=int(log_lens[slot])):
                log[slot, entry] = torch.stack([x[t].float() for x in (log_w, k, v, a, b)])
                current = replay(state[slot], log[slot, : entry + 1])
                out[t] = torch.einsum("hvk,hk->hv", current, r[t].to(state.dtype))
    return out


def wkv7_fold(state: Tensor, log: Tensor, slots: Tensor, fold_lens: Tensor) -> Tensor:
    for slot in slots[slots >= 0].tolist():
        state[slot] = replay(state[slot], log[slot, : fold_lens[slot]])
    return state

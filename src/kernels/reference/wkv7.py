"""Oracle of kernels.wkv7."""

import torch
from torch import Tensor

from kernels.wkv7_arguments import FRESH


def advance(state: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The state [H, N, N] after one more token, each [H, N]."""
    removed = torch.einsum("hvk,hk,hl->hvl", state, a, b)
    return state * log_w.exp().unsqueeze(1) + removed + torch.einsum("hv,hk->hvk", v, k)


def wkv7(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, slots: Tensor,
    cu_seqlens: Tensor, log_lens: Tensor, out: Tensor, max_query_len: int, snapshots: Tensor | None = None,
) -> Tensor:  # fmt: skip
    r, k, v, a, b = (x.to(state.dtype) for x in (r, k, v, a, b))
    bounds = cu_seqlens.tolist()
    for slot, first, end in zip(slots.tolist(), bounds[:-1], bounds[1:], strict=True):
        if slot < 0:
            out[first:end] = 0
        elif log_lens[slot] < 0:
            current = torch.zeros_like(state[slot]) if log_lens[slot] == FRESH else state[slot].clone()
            for t in range(first, end):
                current = advance(current, log_w[t], k[t], v[t], a[t], b[t])
                out[t] = torch.einsum("hvk,hk->hv", current, r[t])
                if snapshots is not None and snapshots[t] >= 0:
                    state[snapshots[t]] = current
            state[slot] = current
    return out

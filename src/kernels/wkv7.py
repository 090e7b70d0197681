"""wkv7: the recurrence of RWKV-7, for any mix of prefill and decode, on states that slots hold.

    S <- S diag(exp(log_w)) + (S a) b^T + v k^T,    y = S r

for each head and token; S a is taken before the decay. S is [N, N], rows are values, columns are keys. Source:
Peng et al., RWKV-7 "Goose", arXiv 2503.14456, with a = -kappa_hat and b = kappa_hat * alpha.

The output is read off the state before the token, so that both sums over keys run side by side and the state is
changed in place:

    y = S (exp(log_w) * r) + (S a) (b . r) + v (k . r)

Where a query is split into steps changes no bit of the result, unless one of the steps is long enough for the chunked
form (`kernels.wkv7_chunked`), which rounds differently.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import check_tensor
from kernels.targets import Target, target_of
from kernels.wkv7_arguments import FRESH, check_arguments
from kernels.wkv7_chunked import wkv7_chunked

NEVER = 2**31 - 1


class Wkv7Meta(NamedTuple):
    block_v: int  # rows of the state in a program
    num_warps: int
    chunk_from: int  # tokens of a query from which the chunked form is faster


# The CPU's are measured: a whole head's state stays in the first cache, and what its keys need is computed once.
# Chunks need as many multiply-adds there as the recurrence, which has no latency to hide: they take 1.4 of its time.
META: dict[Target, Wkv7Meta] = {
    "cpu": Wkv7Meta(128, 1, NEVER),
    "cpu_256": Wkv7Meta(128, 1, NEVER),
    "sm_80": Wkv7Meta(16, 1, 64),
    "sm_90": Wkv7Meta(16, 1, 64),
    "sm_100": Wkv7Meta(16, 1, 64),
    "gfx942": Wkv7Meta(16, 1, 64),
}


@triton.jit
def advance(b_s, b_sa, b_w, b_k, b_v, b_b):
    """The state [BLOCK_V, N] after a token; b_sa, the state times a, and b_v are [BLOCK_V], the others [N]."""
    return b_s * b_w[None, :] + b_sa[:, None] * b_b[None, :] + b_v[:, None] * b_k[None, :]


@triton.jit
def read(b_s, b_sa, b_w, b_r, b_k, b_v, b_b):
    """The output [BLOCK_V] of a token, off the state before it."""
    b_y = tl.sum(b_s * (b_w * b_r)[None, :], axis=1)
    return b_y + (b_sa * tl.sum(b_b * b_r, axis=0) + b_v * tl.sum(b_k * b_r, axis=0))


@triton.jit(do_not_specialize=["end_len"])
def wkv7_kernel(
    p_r, p_log_w, p_k, p_v, p_a, p_b, p_state, p_slots, p_cu_seqlens, p_log_lens, p_out, p_snapshots, end_len, H,
    FRESH: tl.constexpr, N: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One sequence of less than end_len tokens, one head, BLOCK_V rows of its state."""
    i_s = tl.program_id(0)
    i_h = tl.program_id(1).to(tl.int64)
    o_k = tl.arange(0, N)
    o_v = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    o_tile = o_v[:, None] * N + o_k[None, :]  # [BLOCK_V, N]
    first = tl.load(p_cu_seqlens + i_s).to(tl.int64)
    end = tl.load(p_cu_seqlens + i_s + 1).to(tl.int64)
    slot = tl.load(p_slots + i_s).to(tl.int64)
    if slot < 0:
        for t in range(first, end):
            tl.store(p_out + (t * H + i_h) * N + o_v, tl.zeros([BLOCK_V], dtype=tl.float32))
    elif end - first < end_len:
        mode = tl.load(p_log_lens + slot)
        if mode < 0:
            p_tile = p_state + (slot * H + i_h) * (N * N) + o_tile
            n_rows = tl.where(mode == FRESH, 0, N)  # that memory holds
            b_s = tl.load(p_tile, mask=o_v[:, None] < n_rows, other=0.0)
            for t in range(first, end):
                o_t = (t * H + i_h) * N
                b_w = tl.exp(tl.load(p_log_w + o_t + o_k))  # [N]
                b_r = tl.load(p_r + o_t + o_k).to(tl.float32)
                b_k = tl.load(p_k + o_t + o_k).to(tl.float32)
                b_a = tl.load(p_a + o_t + o_k).to(tl.float32)
                b_b = tl.load(p_b + o_t + o_k).to(tl.float32)
                b_v = tl.load(p_v + o_t + o_v).to(tl.float32)  # [BLOCK_V]
                b_sa = tl.sum(b_s * b_a[None, :], axis=1)
                tl.store(p_out + o_t + o_v, read(b_s, b_sa, b_w, b_r, b_k, b_v, b_b))
                b_s = advance(b_s, b_sa, b_w, b_k, b_v, b_b)
                if p_snapshots is not None:
                    snapshot = tl.load(p_snapshots + t).to(tl.int64)
                    if snapshot >= 0:
                        tl.store(p_state + (snapshot * H + i_h) * (N * N) + o_tile, b_s)
            tl.store(p_tile, b_s)


def wkv7(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, slots: Tensor,
    cu_seqlens: Tensor, log_lens: Tensor, out: Tensor, max_query_len: int, snapshots: Tensor | None = None,
    invariant: bool = False,
) -> Tensor:  # fmt: skip
    """The outputs and new states of S sequences with T tokens in all. Returns out.

    r, k, v, a, b act [T, H, N]; log_w f32 [T, H, N], not above 0; state f32 [num_slots, H, N, N], changed in place;
    slots i32 [S], a sequence's state, or -1 for padding, whose outputs are 0; cu_seqlens i32 [S + 1], the first token
    of each sequence and their end; log_lens i32 [num_slots], DIRECT or FRESH: sequences whose slot says anything else
    are left out, their outputs untouched; out f32 [T, H, N]. max_query_len bounds every sequence's tokens. snapshots
    i32 [T]: a further slot that gets the state after this token, or -1; it must belong to no sequence of the step.
    invariant: see `kernels.ops.load_ops`. Raises ValueError naming the argument that does not fit.
    """
    check_arguments(r, log_w, k, v, a, b, state, slots, cu_seqlens, log_lens, out)
    T, H, N = r.shape
    if snapshots is not None:
        check_tensor("snapshots", snapshots, (torch.int32,), (T,), r.device)
    meta = META[target_of(r.device)]
    block_v = min(meta.block_v, N)
    chunk_from = NEVER if invariant or snapshots is not None else meta.chunk_from
    wkv7_kernel[(len(slots), H, N // block_v)](
        r, log_w, k, v, a, b, state, slots, cu_seqlens, log_lens, out, snapshots, chunk_from, H, FRESH, N, block_v,
        num_warps=meta.num_warps,
    )  # fmt: skip
    if max_query_len >= chunk_from:
        wkv7_chunked(r, log_w, k, v, a, b, state, slots, cu_seqlens, log_lens, out, chunk_from)
    return out


def bytes_moved(query_lens: list[int], heads: int, head_size: int, act: torch.dtype) -> int:
    """Each state read and written once; five inputs, the decay and the output of each token."""
    states = 8 * len(query_lens) * head_size**2
    return heads * (states + sum(query_lens) * head_size * (5 * act.itemsize + 8))


def flops(query_lens: list[int], heads: int, head_size: int) -> int:
    """Two products of the state with a vector, its decay and two rank-one updates: 9 an element; exp as one."""
    return sum(query_lens) * heads * (9 * head_size**2 + 10 * head_size)

"""wkv7_delayed, wkv7_fold: the RWKV-7 recurrence with a state that is written once in many tokens.

A slot holds a base state and a log of the tokens since. Walking from a new token back over the log turns the query
instead of the state. With S' the state before an entry,

    S q = (S' diag(w) + (S' a) b^T + v k^T) q = S' (w * q + a (b . q)) + v (k . q)

so the output is the base state times the query that arrives there, plus what each entry adds. Decoding reads the
base and writes one entry; rejected drafts go by shortening the log; wkv7_fold moves entries into the base. This
rounds otherwise than `kernels.wkv7` does. The other form replays the log on a copy of the base and goes on as wkv7
does, with its results bit for bit, for as many passes over the state as the log has entries. Source:
the delayed updates of selective state spaces and delta rules known as ReplaySSM; see `kernels.wkv7` for the
recurrence.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import check_tensor
from kernels.targets import Target, target_of
from kernels.wkv7 import advance, read
from kernels.wkv7_arguments import HEAD_SIZES, check_arguments


class DelayedMeta(NamedTuple):
    block_v: int  # rows of the state in a program
    num_warps: int


META: dict[Target, DelayedMeta] = {
    "cpu": DelayedMeta(128, 1),
    "cpu_256": DelayedMeta(128, 1),
    "sm_80": DelayedMeta(16, 1),
    "sm_90": DelayedMeta(16, 1),
    "sm_100": DelayedMeta(16, 1),
    "gfx942": DelayedMeta(16, 1),
}


@triton.jit
def walk_back(b_q, b_y, p_log_w, p_k, p_v, p_a, p_b, o_k, o_v):
    """The query [N] before a token, and the output [BLOCK_V] with what the token adds to it."""
    b_k = tl.load(p_k + o_k).to(tl.float32)
    b_b = tl.load(p_b + o_k).to(tl.float32)
    b_y += tl.load(p_v + o_v).to(tl.float32) * tl.sum(b_k * b_q, axis=0)
    b_q = tl.exp(tl.load(p_log_w + o_k)) * b_q + tl.load(p_a + o_k).to(tl.float32) * tl.sum(b_b * b_q, axis=0)
    return b_q, b_y


@triton.jit
def replay(b_s, p_log, slot, count, M, H, i_h, o_k, o_v, N: tl.constexpr):
    """The state [BLOCK_V, N] after the first `count` entries of a slot's log."""
    HN = H * N
    for i in range(0, count):
        p_entry = p_log + ((slot * M + i) * 5 * H + i_h) * N
        b_w = tl.exp(tl.load(p_entry + o_k))
        b_k = tl.load(p_entry + HN + o_k)
        b_v = tl.load(p_entry + 2 * HN + o_v)
        b_a = tl.load(p_entry + 3 * HN + o_k)
        b_b = tl.load(p_entry + 4 * HN + o_k)
        b_s = advance(b_s, tl.sum(b_s * b_a[None, :], axis=1), b_w, b_k, b_v, b_b)
    return b_s


@triton.jit
def wkv7_delayed_kernel(
    p_r, p_log_w, p_k, p_v, p_a, p_b, p_state, p_log, p_slots, p_cu_seqlens, p_log_lens, p_out, M, H,
    REPLAY: tl.constexpr, N: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One sequence, one head, BLOCK_V rows of its state. The program of the first rows appends to the log; the
    others take the new tokens from the inputs as it does."""
    i_s = tl.program_id(0)
    i_h = tl.program_id(1).to(tl.int64)
    o_k = tl.arange(0, N)
    o_v = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    first = tl.load(p_cu_seqlens + i_s).to(tl.int64)
    end = tl.load(p_cu_seqlens + i_s + 1).to(tl.int64)
    slot = tl.load(p_slots + i_s).to(tl.int64)
    if slot < 0:
        for t in range(first, end):
            tl.store(p_out + (t * H + i_h) * N + o_v, tl.zeros([BLOCK_V], dtype=tl.float32))
    else:
        log_len = tl.load(p_log_lens + slot)
        if log_len >= 0:
            HN = H * N
            p_next = p_log + ((slot * M + log_len) * 5 * H + i_h) * N  # the entry behind the log
            b_s = tl.load(p_state + (slot * H + i_h) * (N * N) + o_v[:, None] * N + o_k[None, :])
            if REPLAY:
                b_s = replay(b_s, p_log, slot, log_len, M, H, i_h, o_k, o_v, N)
            for t in range(first, end):
                o_t = (t * H + i_h) * N
                if REPLAY:
                    b_w = tl.exp(tl.load(p_log_w + o_t + o_k))
                    b_r = tl.load(p_r + o_t + o_k).to(tl.float32)
                    b_k = tl.load(p_k + o_t + o_k).to(tl.float32)
                    b_a = tl.load(p_a + o_t + o_k).to(tl.float32)
                    b_b = tl.load(p_b + o_t + o_k).to(tl.float32)
                    b_v = tl.load(p_v + o_t + o_v).to(tl.float32)
                    b_sa = tl.sum(b_s * b_a[None, :], axis=1)
                    b_y = read(b_s, b_sa, b_w, b_r, b_k, b_v, b_b)
                    b_s = advance(b_s, b_sa, b_w, b_k, b_v, b_b)
                else:
                    b_q = tl.load(p_r + o_t + o_k).to(tl.float32)
                    b_y = tl.zeros([BLOCK_V], dtype=tl.float32)
                    for back in range(0, t - first + 1):
                        o_b = ((t - back) * H + i_h) * N
                        b_q, b_y = walk_back(
                            b_q, b_y, p_log_w + o_b, p_k + o_b, p_v + o_b, p_a + o_b, p_b + o_b, o_k, o_v
                        )  # fmt: skip
                    for back in range(0, log_len):
                        p_entry = p_next - (back + 1) * 5 * HN
                        b_q, b_y = walk_back(
                            b_q, b_y, p_entry, p_entry + HN, p_entry + 2 * HN, p_entry + 3 * HN, p_entry + 4 * HN,
                            o_k, o_v,
                        )  # fmt: skip
                    b_y += tl.sum(b_s * b_q[None, :], axis=1)
                tl.store(p_out + o_t + o_v, b_y)
                if tl.program_id(2) == 0:
                    p_new = p_next + (t - first) * 5 * HN + o_k
                    tl.store(p_new, tl.load(p_log_w + o_t + o_k))
                    tl.store(p_new + HN, tl.load(p_k + o_t + o_k).to(tl.float32))
                    tl.store(p_new + 2 * HN, tl.load(p_v + o_t + o_k).to(tl.float32))
                    tl.store(p_new + 3 * HN, tl.load(p_a + o_t + o_k).to(tl.float32))
                    tl.store(p_new + 4 * HN, tl.load(p_b + o_t + o_k).to(tl.float32))


@triton.jit
def wkv7_fold_kernel(p_state, p_log, p_slots, p_fold_lens, M, H, N: tl.constexpr, BLOCK_V: tl.constexpr):
    """One slot, one head, BLOCK_V rows of its state."""
    i_s = tl.program_id(0)
    i_h = tl.program_id(1).to(tl.int64)
    o_k = tl.arange(0, N)
    o_v = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    slot = tl.load(p_slots + i_s).to(tl.int64)
    if slot >= 0:
        fold_len = tl.load(p_fold_lens + slot)
        if fold_len > 0:
            p_tile = p_state + (slot * H + i_h) * (N * N) + o_v[:, None] * N + o_k[None, :]
            b_s = replay(tl.load(p_tile), p_log, slot, fold_len, M, H, i_h, o_k, o_v, N)
            tl.store(p_tile, b_s)


def wkv7_delayed(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, log: Tensor, slots: Tensor,
    cu_seqlens: Tensor, log_lens: Tensor, out: Tensor, invariant: bool = False,
) -> Tensor:  # fmt: skip
    """The outputs of S sequences with T tokens in all; the tokens join their slots' logs. Returns out.

    log f32 [num_slots, M, 5, H, N] with log_w, k, v, a, b along its third axis; log_lens i32 [num_slots], the entries
    that count, which with the sequence's tokens must not exceed M: sequences whose slot says a negative number are
    left out, their outputs untouched. state is only read. The other arguments are those of `kernels.wkv7.wkv7`.
    invariant: in the form that equals wkv7 bit for bit (see `kernels.ops.load_ops`). Raises ValueError naming the
    argument that does not fit.
    """
    check_arguments(r, log_w, k, v, a, b, state, slots, cu_seqlens, log_lens, out)
    check_log(log, state)
    _, H, N = r.shape
    meta = META[target_of(r.device)]
    block_v = min(meta.block_v, N)
    wkv7_delayed_kernel[(len(slots), H, N // block_v)](
        r, log_w, k, v, a, b, state, log, slots, cu_seqlens, log_lens, out, log.shape[1], H, invariant, N, block_v,
        num_warps=meta.num_warps,
    )  # fmt: skip
    return out


def wkv7_fold(state: Tensor, log: Tensor, slots: Tensor, fold_lens: Tensor) -> Tensor:
    """Replays the first entries of the logs into the states, which are changed in place. Returns state.

    state f32 [num_slots, H, N, N]; log f32 [num_slots, M, 5, H, N]; slots i32 [S], each slot once, or -1 for none;
    fold_lens i32 [num_slots], how many entries of a slot, 0: it is not touched. The result equals that of
    `kernels.wkv7.wkv7` on the same tokens, bit for bit. Raises ValueError naming the argument that does not fit.
    """
    num_slots, H, N, _ = state.shape
    device = state.device
    check_tensor("state", state, (torch.float32,), (num_slots, H, N, N), device)
    if N not in HEAD_SIZES:
        raise ValueError(f"state: the head size must be one of {HEAD_SIZES}, is {N}")
    check_log(log, state)
    check_tensor("slots", slots, (torch.int32,), (len(slots),), device)
    check_tensor("fold_lens", fold_lens, (torch.int32,), (num_slots,), device)
    meta = META[target_of(device)]
    block_v = min(meta.block_v, N)
    wkv7_fold_kernel[(len(slots), H, N // block_v)](
        state, log, slots, fold_lens, log.shape[1], H, N, block_v, num_warps=meta.num_warps
    )
    return state


def check_log(log: Tensor, state: Tensor) -> None:
    num_slots, H, N, _ = state.shape
    check_tensor("log", log, (torch.float32,), (num_slots, log.shape[1], 5, H, N), state.device)


def bytes_moved(query_lens: list[int], log_lens: list[int], heads: int, head_size: int, act: torch.dtype) -> int:
    """States and logs read once, inputs read, outputs and new entries written."""
    tokens, vector = sum(query_lens), heads * head_size
    states = 4 * len(query_lens) * vector * head_size
    logs = 20 * (sum(log_lens) + tokens) * vector
    return states + logs + tokens * vector * (5 * act.itemsize + 8)


def flops(query_lens: list[int], log_lens: list[int], heads: int, head_size: int) -> int:
    """A state times a vector for each token, and 10 an element of every entry that its query passes."""
    passed = sum(n * log_len + n * (n + 1) // 2 for n, log_len in zip(query_lens, log_lens, strict=True))
    return heads * (2 * sum(query_lens) * head_size**2 + 10 * passed * head_size)


def fold_bytes_moved(fold_lens: list[int], heads: int, head_size: int) -> int:
    """Each state read and written, its entries read."""
    return 4 * heads * head_size * (2 * len(fold_lens) * head_size + 5 * sum(fold_lens))


def fold_flops(fold_lens: list[int], heads: int, head_size: int) -> int:
    """One product of the state with a vector, its decay and two rank-one updates; exp as one."""
    return sum(fold_lens) * heads * (7 * head_size**2 + head_size)

"""token_shift: every token mixed with the one before it, once for each projection that follows.

    out[c, t] = x[t] + (prev - x[t]) * mixes[c]

prev is x[t - 1]; for the first token of a sequence it is row read_rows[slot] of the sequence's shift state, zeros
where that is negative. Afterwards token j of a sequence's step is kept in row first_rows[slot] + j of its state,
unless that is negative: so a state keeps the last token only, or all of a step.

Source: the token shift of Peng et al., RWKV-7 "Goose", arXiv 2503.14456. Sums are f32.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor
from kernels.targets import Target, target_of


class ShiftMeta(NamedTuple):
    block_d: int  # columns a step
    num_warps: int


META: dict[Target, ShiftMeta] = {
    "cpu": ShiftMeta(64, 1),
    "cpu_256": ShiftMeta(64, 1),
    "sm_80": ShiftMeta(1024, 4),
    "sm_90": ShiftMeta(1024, 4),
    "sm_100": ShiftMeta(1024, 4),
    "gfx942": ShiftMeta(1024, 4),
}


@triton.jit
def mix_kernel(
    p_x, p_mixes, p_state, p_slots, p_cu_seqlens, p_sequence_ids, p_read_rows, p_out, stride_slot, stride_mix, D,
    MIXES: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    i_t = tl.program_id(0).to(tl.int64)
    i_s = tl.load(p_sequence_ids + i_t)
    slot = tl.load(p_slots + i_s).to(tl.int64)
    first = tl.load(p_cu_seqlens + i_s)
    row = tl.load(p_read_rows + slot, mask=(i_t == first) & (slot >= 0), other=-1)
    # The token before, from one of two places: of the other one no column is read.
    p_before = p_x + (i_t - 1) * D
    p_row = p_state + slot * stride_slot + row * D
    n_before = tl.where(i_t > first, D, 0)
    n_row = tl.where(row >= 0, D, 0)
    for d in range(0, D, BLOCK_D):
        o_d = d + tl.arange(0, BLOCK_D)
        m_d = o_d < D
        b_x = tl.load(p_x + i_t * D + o_d, mask=m_d, other=0.0).to(tl.float32)
        b_shift = tl.load(p_before + o_d, mask=o_d < n_before, other=0.0).to(tl.float32)
        b_shift += tl.load(p_row + o_d, mask=o_d < n_row, other=0.0)
        b_shift -= b_x
        for c in tl.static_range(MIXES):
            b_out = b_x + b_shift * tl.load(p_mixes + c * D + o_d, mask=m_d, other=0.0)
            tl.store(p_out + c * stride_mix + i_t * D + o_d, b_out.to(p_out.dtype.element_ty), mask=m_d)


@triton.jit
def keep_kernel(
    p_x, p_state, p_slots, p_cu_seqlens, p_sequence_ids, p_first_rows, stride_slot, D, BLOCK_D: tl.constexpr
):
    i_t = tl.program_id(0).to(tl.int64)
    i_s = tl.load(p_sequence_ids + i_t)
    slot = tl.load(p_slots + i_s).to(tl.int64)
    if slot >= 0:
        row = tl.load(p_first_rows + slot) + i_t - tl.load(p_cu_seqlens + i_s)
        if row >= 0:
            p_row = p_state + slot * stride_slot + row * D
            for d in range(0, D, BLOCK_D):
                o_d = d + tl.arange(0, BLOCK_D)
                b_x = tl.load(p_x + i_t * D + o_d, mask=o_d < D, other=0.0).to(tl.float32)
                tl.store(p_row + o_d, b_x, mask=o_d < D)


def token_shift(
    x: Tensor, mixes: Tensor, state: Tensor, slots: Tensor, cu_seqlens: Tensor, sequence_ids: Tensor,
    read_rows: Tensor, first_rows: Tensor, out: Tensor,
) -> Tensor:  # fmt: skip
    """x act [T, D], mixes f32 [C, D], state f32 [num_slots, rows, D]; out act [C, T, D]. Returns out.

    Token t belongs to sequence sequence_ids[t], i32 [T]; sequence s has the tokens cu_seqlens[s] to
    cu_seqlens[s + 1] - 1, i32 [S + 1], and state slots[s], i32 [S]: a negative slot is read as zeros and not
    written. read_rows and first_rows, i32 [num_slots]: the rows of a slot, as above. Raises ValueError naming
    the argument that does not fit.
    """
    device = x.device
    check_tensor("x", x, ACTIVATIONS, (x.shape[0], x.shape[-1]), device)
    T, D = x.shape
    C, S, num_slots = mixes.shape[0], slots.shape[0], state.shape[0]
    check_tensor("mixes", mixes, (torch.float32,), (C, D), device)
    check_tensor("state", state, (torch.float32,), (num_slots, state.shape[1], D), device)
    check_tensor("slots", slots, (torch.int32,), (S,), device)
    check_tensor("cu_seqlens", cu_seqlens, (torch.int32,), (S + 1,), device)
    check_tensor("sequence_ids", sequence_ids, (torch.int32,), (T,), device)
    check_tensor("read_rows", read_rows, (torch.int32,), (num_slots,), device)
    check_tensor("first_rows", first_rows, (torch.int32,), (num_slots,), device)
    check_tensor("out", out, (x.dtype,), (C, T, D), device)
    meta = META[target_of(device)]
    mix_kernel[(T,)](
        x, mixes, state, slots, cu_seqlens, sequence_ids, read_rows, out, state.stride(0), out.stride(0), D,
        C, meta.block_d, num_warps=meta.num_warps,
    )  # fmt: skip
    # A launch of its own: the row that a step keeps may be the one that its first token has read.
    keep_kernel[(T,)](
        x, state, slots, cu_seqlens, sequence_ids, first_rows, state.stride(0), D,
        meta.block_d, num_warps=meta.num_warps,
    )  # fmt: skip
    return out


def bytes_moved(tokens: int, sequences: int, width: int, mixes: int, act: torch.dtype) -> int:
    """x and the mixes read, out written; a row of the state read and written and 20 bytes of indices a sequence."""
    rows = tokens * (1 + mixes) * act.itemsize + 4 * mixes + 8 * sequences
    return width * rows + 4 * tokens + 20 * sequences


def flops(tokens: int, width: int, mixes: int) -> int:
    """A difference; a product and a sum a mix."""
    return tokens * width * (1 + 2 * mixes)

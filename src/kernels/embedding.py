"""embedding: out[t] = table[ids[t]], from a dense or a packed table. Also gathers rows of activations."""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.blocks import block_bytes, decode_blocks
from kernels.checks import ACTIVATIONS, check_tensor, check_weight
from kernels.packed import Weight, WeightFormat, weight_bytes
from kernels.targets import Target, target_of


class EmbeddingMeta(NamedTuple):
    block_d: int  # columns a program copies; a multiple of 32
    num_warps: int


META: dict[Target, EmbeddingMeta] = {
    "cpu": EmbeddingMeta(1024, 1),
    "cpu_256": EmbeddingMeta(1024, 1),
    "sm_80": EmbeddingMeta(1024, 4),
    "sm_90": EmbeddingMeta(1024, 4),
    "sm_100": EmbeddingMeta(1024, 4),
    "gfx942": EmbeddingMeta(1024, 4),
}


@triton.jit
def embedding_kernel(
    p_ids, p_table, p_out, V, D, FORMAT: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    i_t = tl.program_id(0).to(tl.int64)
    i_d = tl.program_id(1)
    row = tl.load(p_ids + i_t).to(tl.int64)
    width = tl.where((row >= 0) & (row < V), D, 0)  # what there is to read of the row
    dtype = p_out.dtype.element_ty
    if FORMAT == "dense":
        o_d = i_d * BLOCK_D + tl.arange(0, BLOCK_D)
        m_d = o_d < D
        b_row = tl.load(p_table + row * D + o_d, mask=o_d < width, other=0.0)
        tl.store(p_out + i_t * D + o_d, b_row.to(dtype), mask=m_d)
    else:
        o_b = i_d * (BLOCK_D // 32) + tl.arange(0, BLOCK_D // 32)[:, None, None]
        o_half = tl.arange(0, 2)[None, :, None]
        o_lane = tl.arange(0, 16)[None, None, :]
        m_b = o_b < D // 32
        p_block = p_table + (row * (D // 32) + o_b) * block_bytes(FORMAT)
        b_row = decode_blocks(p_block, o_b < width // 32, o_half, o_lane, FORMAT)  # [BLOCK_D / 32, 2, 16]
        tl.store(p_out + i_t * D + o_b * 32 + o_half * 16 + o_lane, b_row.to(dtype), mask=m_b)


def embedding(ids: Tensor, table: Weight, out: Tensor) -> Tensor:
    """ids i32 [T], table [V, D] dense or packed; out act [T, D]. Returns out.

    An id outside 0..V-1 gives a row of zeros. Raises ValueError naming the argument that does not fit.
    """
    check_tensor("ids", ids, (torch.int32,), (ids.numel(),), ids.device)
    V, D = table.shape
    data, weight_format = check_weight("table", table, (V, D), ids.device)
    T = ids.shape[0]
    check_tensor("out", out, ACTIVATIONS, (T, D), ids.device)
    meta = META[target_of(ids.device)]
    grid = (T, triton.cdiv(D, meta.block_d))
    embedding_kernel[grid](
        ids, data, out, V, D, weight_format, meta.block_d, num_warps=meta.num_warps
    )  # fmt: skip
    return out


def bytes_moved(tokens: int, width: int, weight_format: WeightFormat, out: torch.dtype) -> int:
    """`tokens` ids and rows of `width` read, as many rows written."""
    return tokens * (4 + width * out.itemsize) + weight_bytes(tokens, width, weight_format)


def flops(tokens: int, width: int) -> int:
    """A copy: none (decoding packed blocks is not counted, as in `linear`)."""
    return 0

"""wkv7_chunked: the recurrence of `kernels.wkv7` over C tokens at a time, as matrix products.

Within a chunk let g_t be the sum of log_w up to token t, S the state [values, keys] before the chunk, and

    A_t = a_t exp(g_t - log_w_t),   R_t = r_t exp(g_t),   B_t = b_t exp(-g_t),   K_t = k_t exp(-g_t)

the rows of matrices [C, N]. What each token takes out of the state it meets, U_t = S a_t, solves a triangular system,
and everything else is a product (the WY form of a product of identity-plus-rank-one matrices):

    U = (I - low(A B^T))^-1 (A S^T + low(A K^T) V)             low: below the diagonal
    Y = R S^T + low'(R B^T) U + low'(R K^T) V                  low': with the diagonal
    S <- (S + U^T B + V^T K) diag(exp(g_C))

U, V and Y are held transposed, so that each thread keeps rows of the state. The inverse is found by forward
substitution, which stays exact where keys repeat; squaring (the Neumann product) does not. Decays of RWKV-7 are at
least exp(-0.6065), so factors of a chunk of 64 stay below exp(39): far inside f32, and a factor changes no relative
error. Only inputs, outputs and the states touch memory. Source: Peng et al., RWKV-7 "Goose", arXiv 2503.14456; Bischof
and Van Loan, The WY representation for products of Householder matrices, 1987.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from kernels.targets import Target, target_of
from kernels.wkv7_arguments import FRESH, check_arguments


class ChunkedMeta(NamedTuple):
    chunk: int  # tokens
    block_v: int  # rows of the state in a program
    precision: str  # of products; "tf32x3": in three parts on tensor cores, about as exact as f32
    num_warps: int


# None of these has run on a GPU. The tiles are those for which ptxas spills least.
META: dict[Target, ChunkedMeta] = {
    "cpu": ChunkedMeta(16, 128, "ieee", 1),
    "cpu_256": ChunkedMeta(16, 128, "ieee", 1),
    "sm_80": ChunkedMeta(16, 16, "tf32x3", 4),
    "sm_90": ChunkedMeta(16, 16, "tf32x3", 4),
    "sm_100": ChunkedMeta(16, 16, "tf32x3", 4),
    "gfx942": ChunkedMeta(16, 32, "ieee", 4),
}


@triton.jit
def invert(b_low, C: tl.constexpr):
    """(I - b_low)^-1, b_low [C, C] with nothing on or above its diagonal: row i is e_i + sum over j of low_ij row j."""
    o_c = tl.arange(0, C)
    b_inverse = tl.where(o_c[:, None] == o_c[None, :], 1.0, 0.0)
    for i in range(1, C):
        m_i = (o_c == i)[:, None]
        b_row = tl.sum(tl.where(m_i, b_low, 0.0), axis=0)
        b_row = tl.sum(b_row[:, None] * b_inverse, axis=0) + tl.where(o_c == i, 1.0, 0.0)
        b_inverse = tl.where(m_i, b_row[None, :], b_inverse)
    return b_inverse


@triton.jit(do_not_specialize=["least_len"])
def wkv7_chunked_kernel(
    p_r, p_log_w, p_k, p_v, p_a, p_b, p_state, p_slots, p_cu_seqlens, p_log_lens, p_out, least_len, H,
    FRESH: tl.constexpr, C: tl.constexpr, N: tl.constexpr, BLOCK_V: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One sequence of at least least_len tokens, one head, BLOCK_V rows of its state."""
    i_s = tl.program_id(0)
    i_h = tl.program_id(1).to(tl.int64)
    o_c = tl.arange(0, C)
    o_k = tl.arange(0, N)
    o_v = tl.program_id(2) * BLOCK_V + tl.arange(0, BLOCK_V)
    o_ck = o_c[:, None] * (H * N) + o_k[None, :]  # [C, N]
    o_vc = o_c[None, :] * (H * N) + o_v[:, None]  # [BLOCK_V, C]
    m_low = o_c[:, None] > o_c[None, :]  # [C, C]
    m_diagonal = o_c[:, None] >= o_c[None, :]
    first = tl.load(p_cu_seqlens + i_s).to(tl.int64)
    end = tl.load(p_cu_seqlens + i_s + 1).to(tl.int64)
    slot = tl.load(p_slots + i_s).to(tl.int64)
    if (slot >= 0) & (end - first >= least_len):
        mode = tl.load(p_log_lens + slot)
        if mode < 0:
            p_tile = p_state + (slot * H + i_h) * (N * N) + o_v[:, None] * N + o_k[None, :]
            n_rows = tl.where(mode == FRESH, 0, N)  # that memory holds
            b_s = tl.load(p_tile, mask=o_v[:, None] < n_rows, other=0.0)  # [BLOCK_V, N]
            for t in range(first, end, C):
                o_t = (t * H + i_h) * N
                m_row = (t + o_c < end)[:, None]  # of what is behind the end, everything is 0
                b_log_w = tl.load(p_log_w + o_t + o_ck, mask=m_row, other=0.0)  # [C, N]
                b_g = tl.cumsum(b_log_w, axis=0)
                b_r = tl.load(p_r + o_t + o_ck, mask=m_row, other=0.0).to(tl.float32) * tl.exp(b_g)
                b_a = tl.load(p_a + o_t + o_ck, mask=m_row, other=0.0).to(tl.float32) * tl.exp(b_g - b_log_w)
                b_growth = tl.exp(-b_g)
                b_b = tl.load(p_b + o_t + o_ck, mask=m_row, other=0.0).to(tl.float32) * b_growth
                b_k = tl.load(p_k + o_t + o_ck, mask=m_row, other=0.0).to(tl.float32) * b_growth
                b_v = tl.load(p_v + o_t + o_vc, mask=tl.trans(m_row), other=0.0).to(tl.float32)  # [BLOCK_V, C]

                b_ak = tl.where(m_low, tl.dot(b_a, tl.trans(b_k), input_precision=PRECISION), 0.0)  # [C, C]
                b_ab = tl.where(m_low, tl.dot(b_a, tl.trans(b_b), input_precision=PRECISION), 0.0)
                b_rk = tl.where(m_diagonal, tl.dot(b_r, tl.trans(b_k), input_precision=PRECISION), 0.0)
                b_rb = tl.where(m_diagonal, tl.dot(b_r, tl.trans(b_b), input_precision=PRECISION), 0.0)
                b_u = tl.dot(b_s, tl.trans(b_a), input_precision=PRECISION)  # [BLOCK_V, C]
                b_u = tl.dot(b_v, tl.trans(b_ak), b_u, input_precision=PRECISION)
                b_u = tl.dot(b_u, tl.trans(invert(b_ab, C)), input_precision=PRECISION)
                b_y = tl.dot(b_s, tl.trans(b_r), input_precision=PRECISION)
                b_y = tl.dot(b_v, tl.trans(b_rk), b_y, input_precision=PRECISION)
                b_y = tl.dot(b_u, tl.trans(b_rb), b_y, input_precision=PRECISION)
                tl.store(p_out + o_t + o_vc, b_y, mask=tl.trans(m_row))
                b_s = tl.dot(b_u, b_b, b_s, input_precision=PRECISION)
                b_s = tl.dot(b_v, b_k, b_s, input_precision=PRECISION)
                b_s *= tl.exp(tl.sum(b_log_w, axis=0))[None, :]
            tl.store(p_tile, b_s)


def wkv7_chunked(
    r: Tensor, log_w: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, slots: Tensor,
    cu_seqlens: Tensor, log_lens: Tensor, out: Tensor, least_len: int,
) -> Tensor:  # fmt: skip
    """What `kernels.wkv7.wkv7` does, for the sequences that have a slot and at least least_len tokens. Returns
    out.

    Arguments and errors are those of wkv7; log_w is not below -0.6065. The results differ from wkv7's by rounding.
    """
    check_arguments(r, log_w, k, v, a, b, state, slots, cu_seqlens, log_lens, out)
    _, H, N = r.shape
    meta = META[target_of(r.device)]
    block_v = min(meta.block_v, N)
    wkv7_chunked_kernel[(len(slots), H, N // block_v)](
        r, log_w, k, v, a, b, state, slots, cu_seqlens, log_lens, out, least_len, H,
        FRESH, meta.chunk, N, block_v, meta.precision, num_warps=meta.num_warps,
    )  # fmt: skip
    return out


def flops(query_lens: list[int], heads: int, head_size: int, chunk: int) -> int:
    """Of whole chunks: four products [C, C], their use on C rows of values, four products with the state."""
    chunks = sum(-(-n // chunk) for n in query_lens)
    return chunks * heads * 8 * (2 * chunk**2 * head_size + chunk * head_size**2)

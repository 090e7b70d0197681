"""paged_attention: causal attention of new tokens over a paged KV cache, for any mix of prefill and decode.

    out[t, h] = sum over j <= p(t) of softmax_j(scale * q[t, h] . k[j, h / group]) * v[j, h / group]

Query j of a sequence has position context_len - query_len + j; the pages already hold its key and value. The
query heads that share a KV head are rows of one tile, so a page is read once for the group. The softmax is
online (Milakov and Gimelshein, arXiv 1805.02867; Dao et al., FlashAttention, arXiv 2205.14135), in base 2.
When every sequence has few queries the context is split over programs and merged by log-sum-exp. The splits deal
its keys out among themselves from the first one on, so that a query's result depends neither on the batch nor on the
queries behind it.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor, check_view
from kernels.targets import Target, target_of

LOG2_E = 1.4426950408889634


class AttentionMeta(NamedTuple):
    split_queries: int  # the longest query that still splits its context (decode and verification of drafts)
    splits: int
    split_keys: int  # keys a step, then
    merge_heads: int  # query heads that a program of the merge works on, one after the other
    least_rows: int  # query rows (queries times group) of the smallest tile that tl.dot takes
    rows: int  # of the tile that prefill uses
    keys: int  # a step, in prefill
    num_warps: int
    num_stages: int


# The CPU's are measured (two Zen 5 cores). Those of GPUs compile, but have never run on one.
META: dict[Target, AttentionMeta] = {
    "cpu": AttentionMeta(8, 4, 32, 256, 1, 128, 64, 1, 1),
    "cpu_256": AttentionMeta(8, 4, 32, 256, 1, 128, 64, 1, 1),
    "sm_80": AttentionMeta(8, 8, 64, 1, 16, 64, 64, 4, 2),
    "sm_90": AttentionMeta(8, 8, 64, 1, 16, 64, 64, 4, 2),
    "sm_100": AttentionMeta(8, 8, 64, 1, 16, 64, 64, 4, 2),
    "gfx942": AttentionMeta(8, 8, 64, 1, 16, 64, 64, 4, 1),
}


@triton.jit
def attend(
    p_q, p_k_cache, p_v_cache, p_table, p_out, p_partial, p_lse,
    scale, stride_q, first_token, first_position, n_queries,
    GROUP: tl.constexpr, DH: tl.constexpr, BLOCK_SIZE: tl.constexpr, SPLITS: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Queries first_token .. + n_queries of one sequence, for the heads and the split of this program."""
    i_h = tl.program_id(1).to(tl.int64)
    i_split = tl.program_id(2)
    n_heads = tl.num_programs(1)
    ROWS: tl.constexpr = BLOCK_Q * BLOCK_G
    KEYS: tl.constexpr = BLOCK_P * BLOCK_SIZE
    o_q = tl.arange(0, BLOCK_Q)
    o_g = tl.arange(0, BLOCK_G)
    o_d = tl.arange(0, BLOCK_D)
    m_d = o_d < DH
    m_row = (o_q < n_queries)[:, None] & (o_g < GROUP)[None, :]  # [BLOCK_Q, BLOCK_G]
    m_q = m_row[:, :, None] & m_d[None, None, :]
    o_t = first_token + o_q  # [BLOCK_Q]
    o_head = i_h * GROUP + o_g  # [BLOCK_G]
    p_row = p_q + o_t[:, None, None] * stride_q + o_head[None, :, None] * DH + o_d[None, None, :]
    b_q = tl.reshape(tl.load(p_row, mask=m_q, other=0.0), [ROWS, BLOCK_D])
    b_last = first_position + tl.minimum(o_q, n_queries - 1)  # the last key that a query sees
    b_last = tl.reshape(tl.broadcast_to(b_last[:, None], [BLOCK_Q, BLOCK_G]), [ROWS])

    n_keys = first_position + n_queries
    n_pages = tl.cdiv(n_keys, BLOCK_SIZE)
    o_p = tl.arange(0, BLOCK_P)
    o_s = tl.arange(0, BLOCK_SIZE)
    b_max = tl.full([ROWS], float("-inf"), dtype=tl.float32)
    b_sum = tl.zeros([ROWS], dtype=tl.float32)
    b_acc = tl.zeros([ROWS, BLOCK_D], dtype=tl.float32)
    for page in range(i_split * BLOCK_P, n_pages, SPLITS * BLOCK_P):
        b_block = tl.load(p_table + page + o_p, mask=page + o_p < n_pages, other=0).to(tl.int64)  # [BLOCK_P]
        o_page = (b_block * n_heads + i_h) * (BLOCK_SIZE * DH)
        # [BLOCK_P, BLOCK_SIZE, BLOCK_D]
        o_kv = o_page[:, None, None] + o_s[None, :, None] * DH + o_d[None, None, :]
        # Behind the last key lies unwritten memory, which may hold NaN: it must not be multiplied, even by 0.
        m_key = ((page + o_p) * BLOCK_SIZE)[:, None] + o_s[None, :] < n_keys
        m_kv = m_key[:, :, None] & m_d[None, None, :]
        b_k = tl.reshape(tl.load(p_k_cache + o_kv, mask=m_kv, other=0.0), [KEYS, BLOCK_D])
        b_s = tl.dot(b_q, tl.trans(b_k.to(b_q.dtype)), input_precision="ieee") * scale  # [ROWS, KEYS]
        o_key = page * BLOCK_SIZE + tl.arange(0, KEYS)
        b_s = tl.where(o_key[None, :] <= b_last[:, None], b_s, float("-inf"))
        b_new_max = tl.maximum(b_max, tl.max(b_s, axis=1))
        b_shift = tl.where(b_new_max == float("-inf"), 0.0, b_new_max)  # a row may see no key of this split
        b_p = tl.exp2(b_s - b_shift[:, None])
        b_rescale = tl.exp2(b_max - b_shift)
        b_sum = b_sum * b_rescale + tl.sum(b_p, axis=1)
        b_v = tl.reshape(tl.load(p_v_cache + o_kv, mask=m_kv, other=0.0), [KEYS, BLOCK_D])
        b_acc = b_acc * b_rescale[:, None]
        b_acc = tl.dot(b_p.to(b_q.dtype), b_v.to(b_q.dtype), b_acc, input_precision="ieee")
        b_max = b_new_max

    o_row = o_t[:, None] * (n_heads * GROUP) + o_head[None, :]  # [BLOCK_Q, BLOCK_G]
    if SPLITS == 1:
        b_out = tl.reshape(b_acc / b_sum[:, None], [BLOCK_Q, BLOCK_G, BLOCK_D])
        p_tile = p_out + o_row[:, :, None] * DH + o_d[None, None, :]
        tl.store(p_tile, b_out.to(p_out.dtype.element_ty), mask=m_q)
    else:
        o_row = o_row * SPLITS + i_split
        b_norm = tl.where(b_sum == 0.0, 1.0, b_sum)
        b_out = tl.reshape(b_acc / b_norm[:, None], [BLOCK_Q, BLOCK_G, BLOCK_D])
        tl.store(p_partial + o_row[:, :, None] * DH + o_d[None, None, :], b_out, mask=m_q)
        b_lse = b_max + tl.log2(b_norm)  # -inf for a row that saw no key
        tl.store(p_lse + o_row, tl.reshape(b_lse, [BLOCK_Q, BLOCK_G]), mask=m_row)


@triton.jit(do_not_specialize=["n_tiles"])
def paged_attention_kernel(
    p_q, p_k_cache, p_v_cache, p_tables, p_cu_seqlens, p_context_lens, p_out, p_partial, p_lse,
    scale, stride_q, stride_table, n_tiles,
    GROUP: tl.constexpr, DH: tl.constexpr, BLOCK_SIZE: tl.constexpr, SPLITS: tl.constexpr,
    LEAST_Q: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_G: tl.constexpr, BLOCK_P: tl.constexpr,
    BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One tile of a sequence's queries, one KV head, one split of the context."""
    i_s = tl.program_id(0) // n_tiles
    first_query = tl.program_id(0) % n_tiles * BLOCK_Q
    first_token = tl.load(p_cu_seqlens + i_s)
    query_len = tl.load(p_cu_seqlens + i_s + 1) - first_token
    first_position = tl.load(p_context_lens + i_s) - query_len + first_query
    first_token = (first_token + first_query).to(tl.int64)
    n_queries = tl.minimum(query_len - first_query, BLOCK_Q)
    p_table = p_tables + i_s.to(tl.int64) * stride_table
    if n_queries > LEAST_Q:
        attend(
            p_q, p_k_cache, p_v_cache, p_table, p_out, p_partial, p_lse, scale, stride_q,
            first_token, first_position, n_queries,
            GROUP, DH, BLOCK_SIZE, SPLITS, BLOCK_Q, BLOCK_G, BLOCK_P, BLOCK_D,
        )  # fmt: skip
    elif n_queries > 0:  # a decoding sequence among prefills must not pay for their tile
        attend(
            p_q, p_k_cache, p_v_cache, p_table, p_out, p_partial, p_lse, scale, stride_q,
            first_token, first_position, n_queries,
            GROUP, DH, BLOCK_SIZE, SPLITS, LEAST_Q, BLOCK_G, BLOCK_P, BLOCK_D,
        )  # fmt: skip


@triton.jit
def merge_splits_kernel(
    p_partial, p_lse, p_out, n_heads,
    DH: tl.constexpr, SPLITS: tl.constexpr, HEADS: tl.constexpr,
    BLOCK_S: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """out = sum over splits of softmax(lse) * partial, for one token and HEADS of the n_heads query heads."""
    i_t = tl.program_id(0).to(tl.int64)
    o_s = tl.arange(0, BLOCK_S)
    o_d = tl.arange(0, BLOCK_D)
    m_s = o_s < SPLITS
    m_part = m_s[:, None] & (o_d < DH)[None, :]
    first = tl.program_id(1) * HEADS
    for i_h in range(first, tl.minimum(first + HEADS, n_heads)):
        i_row = i_t * n_heads + i_h
        b_lse = tl.load(p_lse + i_row * SPLITS + o_s, mask=m_s, other=float("-inf"))
        b_weight = tl.exp2(b_lse - tl.max(b_lse, axis=0))
        b_weight = b_weight / tl.sum(b_weight, axis=0)  # [BLOCK_S]
        p_part = p_partial + (i_row * SPLITS + o_s)[:, None] * DH + o_d[None, :]
        b_part = tl.load(p_part, mask=m_part, other=0.0)  # [BLOCK_S, BLOCK_D]
        b_out = tl.sum(b_part * b_weight[:, None], axis=0)
        tl.store(p_out + i_row * DH + o_d, b_out.to(p_out.dtype.element_ty), mask=o_d < DH)


def scratch_size(tokens: int, q_heads: int, head_dim: int, device: torch.device) -> int:
    """Numbers that paged_attention needs of its scratch."""
    return tokens * q_heads * META[target_of(device)].splits * (head_dim + 1)


def paged_attention(
    q: Tensor, k_cache: Tensor, v_cache: Tensor, block_tables: Tensor, cu_seqlens: Tensor,
    context_lens: Tensor, scratch: Tensor, out: Tensor, scale: float, max_query_len: int, invariant: bool = False,
) -> Tensor:  # fmt: skip
    """Attention of S sequences with T query tokens in all. Returns out.

    q act [T, Hq, Dh] (first stride free); caches f32, bf16 or f16 [num_blocks, Hkv, block_size, Dh],
    block_size a power of two; block_tables i32 [S, max_blocks]; cu_seqlens i32 [S + 1], the first token of
    each sequence and their end; context_lens i32 [S], with the new tokens; scratch f32 [scratch_size(T, Hq, Dh)]
    (overwritten); out act [T, Hq, Dh]. max_query_len bounds every sequence's queries. invariant: see
    `kernels.ops.load_ops`. Raises ValueError naming the argument that does not fit.
    """
    T, Hq, Dh = q.shape
    n_blocks, Hkv, block_size, _ = k_cache.shape
    S, max_blocks = block_tables.shape
    device = q.device
    check_view("q", q, ACTIVATIONS, (T, Hq, Dh), device)
    check_tensor("k_cache", k_cache, ACTIVATIONS, (n_blocks, Hkv, block_size, Dh), device)
    check_tensor("v_cache", v_cache, (k_cache.dtype,), (n_blocks, Hkv, block_size, Dh), device)
    check_tensor("block_tables", block_tables, (torch.int32,), (S, max_blocks), device)
    check_tensor("cu_seqlens", cu_seqlens, (torch.int32,), (S + 1,), device)
    check_tensor("context_lens", context_lens, (torch.int32,), (S,), device)
    check_tensor("scratch", scratch, (torch.float32,), (scratch_size(T, Hq, Dh, device),), device)
    check_tensor("out", out, (q.dtype,), (T, Hq, Dh), device)
    if Hq % Hkv:
        raise ValueError(f"q: {Hq} query heads are no multiple of {Hkv} KV heads")
    if block_size & (block_size - 1):
        raise ValueError(f"k_cache: block_size must be a power of two, is {block_size}")
    meta = META[target_of(device)]
    group = Hq // Hkv
    block_g = triton.next_power_of_2(group)
    block_d = triton.next_power_of_2(Dh)
    least_q = max(1, meta.least_rows // block_g)
    is_short = max_query_len <= meta.split_queries
    splits, keys = (meta.splits, meta.split_keys) if is_short or invariant else (1, meta.keys)
    block_q = max(least_q, triton.next_power_of_2(max_query_len) if is_short else meta.rows // block_g)
    partial, lse = scratch.split([T * Hq * meta.splits * Dh, T * Hq * meta.splits])
    n_tiles = triton.cdiv(max_query_len, block_q)
    paged_attention_kernel[(S * n_tiles, Hkv, splits)](
        q, k_cache, v_cache, block_tables, cu_seqlens, context_lens, out, partial, lse,
        scale * LOG2_E, q.stride(0), max_blocks, n_tiles,
        group, Dh, block_size, splits, least_q, block_q, block_g, max(1, keys // block_size), block_d,
        num_warps=meta.num_warps, num_stages=meta.num_stages,
    )  # fmt: skip
    if splits > 1:
        merge_splits_kernel[(T, triton.cdiv(Hq, meta.merge_heads))](
            partial, lse, out, Hq, Dh, splits, meta.merge_heads, triton.next_power_of_2(splits), block_d,
            num_warps=1,
        )  # fmt: skip
    return out


def bytes_moved(
    query_lens: list[int], context_lens: list[int], q_heads: int, kv_heads: int, head_dim: int,
    act: torch.dtype, cache: torch.dtype,
) -> int:  # fmt: skip
    """Each sequence's keys and values read once, queries read and outputs written."""
    pages = 2 * sum(context_lens) * kv_heads * head_dim * cache.itemsize
    return pages + 2 * sum(query_lens) * q_heads * head_dim * act.itemsize


def flops(query_lens: list[int], context_lens: list[int], q_heads: int, head_dim: int) -> int:
    """Both products over the keys that the causal mask leaves visible."""
    visible = sum(q * c - q * (q - 1) // 2 for q, c in zip(query_lens, context_lens, strict=True))
    return 4 * visible * q_heads * head_dim

"""rope_and_cache: rotary position embedding of queries and keys, fused with the write into the paged KV
cache.

    (a, b) -> (a cos - b sin, a sin + b cos),    angle of pair i at position p: p * theta_i

for the pairs (2i, 2i + 1) (interleaved, GGUF llama files) or (i, i + rotary_dim / 2). Dimensions past
rotary_dim pass unchanged. Source: Su et al., RoFormer, arXiv 2104.09864.

Cache pages are [num_blocks, Hkv, block_size, Dh]: one head's page is one contiguous stream for
`paged_attention`.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels.checks import ACTIVATIONS, check_tensor, check_view
from kernels.targets import Target, target_of


class RopeMeta(NamedTuple):
    kv_heads: int  # a program rotates, one after the other, each with its query heads
    num_warps: int


META: dict[Target, RopeMeta] = {
    "cpu": RopeMeta(256, 1),  # all: on one token, threads cost more than they save
    "cpu_256": RopeMeta(256, 1),
    "sm_80": RopeMeta(1, 1),
    "sm_90": RopeMeta(1, 1),
    "sm_100": RopeMeta(1, 1),
    "gfx942": RopeMeta(1, 1),
}


@triton.jit
def rotate(b_a, b_b, b_cos, b_sin):
    return b_a * b_cos - b_b * b_sin, b_a * b_sin + b_b * b_cos


@triton.jit
def rope_and_cache_kernel(
    p_q, p_k, p_v, p_positions, p_cos_sin, p_slots, p_k_cache, p_v_cache,
    stride_q, stride_k, stride_v, n_heads,
    GROUP: tl.constexpr, ROTARY: tl.constexpr, DH: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    INTERLEAVED: tl.constexpr, HEADS: tl.constexpr,
    BLOCK_G: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """One token and HEADS of the n_heads KV heads, each with the group of query heads that attends to it."""
    i_t = tl.program_id(0).to(tl.int64)
    HALF: tl.constexpr = ROTARY // 2
    o_r = tl.arange(0, BLOCK_R)
    m_r = o_r < HALF
    o_a = 2 * o_r if INTERLEAVED else o_r
    o_b = o_a + 1 if INTERLEAVED else o_a + HALF
    p_angle = p_cos_sin + tl.load(p_positions + i_t).to(tl.int64) * ROTARY
    b_cos = tl.load(p_angle + o_r, mask=m_r, other=0.0)  # [BLOCK_R]
    b_sin = tl.load(p_angle + HALF + o_r, mask=m_r, other=0.0)
    o_g = tl.arange(0, BLOCK_G)
    m_q = (o_g < GROUP)[:, None] & m_r[None, :]
    o_d = tl.arange(0, BLOCK_D)
    slot = tl.load(p_slots + i_t)

    first = tl.program_id(1) * HEADS
    for i_h in range(first, tl.minimum(first + HEADS, n_heads)):
        p_head = p_q + i_t * stride_q + (i_h * GROUP + o_g)[:, None] * DH  # [BLOCK_G, 1]
        b_a = tl.load(p_head + o_a[None, :], mask=m_q, other=0.0).to(tl.float32)
        b_b = tl.load(p_head + o_b[None, :], mask=m_q, other=0.0).to(tl.float32)
        b_a, b_b = rotate(b_a, b_b, b_cos[None, :], b_sin[None, :])  # [BLOCK_G, BLOCK_R]
        tl.store(p_head + o_a[None, :], b_a.to(p_q.dtype.element_ty), mask=m_q)
        tl.store(p_head + o_b[None, :], b_b.to(p_q.dtype.element_ty), mask=m_q)

        if slot >= 0:
            p_from = p_k + i_t * stride_k + i_h * DH
            o_page = (slot // BLOCK_SIZE * n_heads + i_h) * BLOCK_SIZE + slot % BLOCK_SIZE
            p_to = p_k_cache + o_page * DH
            b_ka = tl.load(p_from + o_a, mask=m_r, other=0.0).to(tl.float32)
            b_kb = tl.load(p_from + o_b, mask=m_r, other=0.0).to(tl.float32)
            b_ka, b_kb = rotate(b_ka, b_kb, b_cos, b_sin)  # [BLOCK_R]
            tl.store(p_to + o_a, b_ka.to(p_k_cache.dtype.element_ty), mask=m_r)
            tl.store(p_to + o_b, b_kb.to(p_k_cache.dtype.element_ty), mask=m_r)
            if ROTARY < DH:
                m_rest = (o_d >= ROTARY) & (o_d < DH)
                b_rest = tl.load(p_from + o_d, mask=m_rest, other=0.0)
                tl.store(p_to + o_d, b_rest.to(p_k_cache.dtype.element_ty), mask=m_rest)
            b_v = tl.load(p_v + i_t * stride_v + i_h * DH + o_d, mask=o_d < DH, other=0.0)
            tl.store(p_v_cache + o_page * DH + o_d, b_v.to(p_v_cache.dtype.element_ty), mask=o_d < DH)


def rope_and_cache(
    q: Tensor, k: Tensor, v: Tensor, positions: Tensor, cos_sin: Tensor, slots: Tensor,
    k_cache: Tensor, v_cache: Tensor, interleaved: bool,
) -> None:  # fmt: skip
    """Rotate q in place; write rotated k, and v, into the cache.

    q act [T, Hq, Dh], k and v act [T, Hkv, Dh]: the first stride is free (views of a fused projection).
    positions i32 [T]; cos_sin f32 [max_position, rotary_dim], cosines in the first half; slots i64 [T], slot
    = block * block_size + offset, negative for padding: nothing is written. Caches [num_blocks, Hkv,
    block_size, Dh]. Raises ValueError naming the argument that does not fit.
    """
    T, Hq, Dh = q.shape
    Hkv = k.shape[1]
    device = q.device
    check_view("q", q, ACTIVATIONS, (T, Hq, Dh), device)
    check_view("k", k, (q.dtype,), (T, Hkv, Dh), device)
    check_view("v", v, (q.dtype,), (T, Hkv, Dh), device)
    check_tensor("positions", positions, (torch.int32,), (T,), device)
    check_tensor("slots", slots, (torch.int64,), (T,), device)
    max_position, rotary_dim = cos_sin.shape
    check_tensor("cos_sin", cos_sin, (torch.float32,), (max_position, rotary_dim), device)
    n_blocks, _, block_size, _ = k_cache.shape
    check_tensor("k_cache", k_cache, ACTIVATIONS, (n_blocks, Hkv, block_size, Dh), device)
    check_tensor("v_cache", v_cache, (k_cache.dtype,), (n_blocks, Hkv, block_size, Dh), device)
    if Hq % Hkv:
        raise ValueError(f"q: {Hq} query heads are no multiple of {Hkv} KV heads")
    if rotary_dim > Dh or rotary_dim % 2:
        raise ValueError(f"cos_sin: rotary_dim must be even and at most {Dh}, is {rotary_dim}")
    group = Hq // Hkv
    meta = META[target_of(device)]
    rope_and_cache_kernel[(T, triton.cdiv(Hkv, meta.kv_heads))](
        q, k, v, positions, cos_sin, slots, k_cache, v_cache, q.stride(0), k.stride(0), v.stride(0), Hkv,
        group, rotary_dim, Dh, block_size, interleaved, meta.kv_heads, triton.next_power_of_2(group),
        triton.next_power_of_2(rotary_dim // 2), triton.next_power_of_2(Dh), num_warps=meta.num_warps,
    )  # fmt: skip


def bytes_moved(tokens: int, q_heads: int, kv_heads: int, head_dim: int, act: torch.dtype, cache: torch.dtype) -> int:
    """q read and written, k and v read, their pages written; a position, a slot and angles a token."""
    values = (2 * q_heads + 2 * kv_heads) * act.itemsize + 2 * kv_heads * cache.itemsize
    return tokens * (head_dim * (values + 4) + 12)


def flops(tokens: int, q_heads: int, kv_heads: int, rotary_dim: int) -> int:
    """Four products and two sums a pair."""
    return tokens * (q_heads + kv_heads) * rotary_dim * 3

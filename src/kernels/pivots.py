"""The logits that bound what top-k and top-p keep, found without a sort.

A bisection on the order-preserving integer image of a float: at most 32 passes over the row, exact. It also ends when
k logits are kept, whatever the last bits of the pivot, and for top-p when no other logit is left between its bounds,
as each pass brings them to the nearest ones.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def ordered_image(x):
    """i32 that order as the f32 do. It is its own inverse on the bits."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def ordered_value(image):
    return (image ^ ((image >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def count_from(p_row, V, pivot, BLOCK_V: tl.constexpr):
    """How many logits lie from the pivot up."""
    b_count = tl.zeros([BLOCK_V], dtype=tl.int32)
    for v in range(0, V, BLOCK_V):
        o_v = v + tl.arange(0, BLOCK_V)
        b_l = tl.load(p_row + o_v, mask=o_v < V, other=float("-inf"))
        b_count += (b_l >= pivot).to(tl.int32)
    return tl.sum(b_count, axis=0)


@triton.jit
def weight_from(p_row, V, pivot, top, inverse_temperature, BLOCK_V: tl.constexpr):
    """The weight of the logits from the pivot up, and the least of them; the largest below the pivot."""
    b_sum = tl.zeros([BLOCK_V], dtype=tl.float32)
    b_least = tl.full([BLOCK_V], float("inf"), dtype=tl.float32)
    b_below = tl.full([BLOCK_V], float("-inf"), dtype=tl.float32)
    for v in range(0, V, BLOCK_V):
        o_v = v + tl.arange(0, BLOCK_V)
        b_l = tl.load(p_row + o_v, mask=o_v < V, other=float("-inf"))
        m_l = b_l >= pivot
        b_below = tl.maximum(b_below, tl.where(m_l, float("-inf"), b_l))
        if tl.max(b_l, axis=0) >= pivot:  # steps without any of them cost no exponential
            # The largest weight is 1: what is below exp(-80) adds nothing, and would be slow to compute.
            b_z = tl.maximum((b_l - top) * inverse_temperature, -80.0)
            b_sum += tl.where(m_l, tl.exp(b_z), 0.0)
            b_least = tl.minimum(b_least, tl.where(m_l, b_l, float("inf")))
    return tl.sum(b_sum, axis=0), tl.min(b_least, axis=0), tl.max(b_below, axis=0)


@triton.jit
def top_k_pivot(p_row, V, lowest, top, k, BLOCK_V: tl.constexpr):
    """A pivot in lowest..top that keeps k logits, or as few more as there are equal to the k-th."""
    low = ordered_image(lowest)
    high = ordered_image(top) + 1
    while low + 1 < high:
        middle = (low & high) + ((low ^ high) >> 1)  # the mean, without overflow
        count = count_from(p_row, V, ordered_value(middle), BLOCK_V)
        if count > k:
            low = middle
        elif count < k:
            high = middle
        else:
            low = middle
            high = middle + 1
    return ordered_value(low)


@triton.jit
def top_p_pivot(p_row, V, lowest, top, inverse_temperature, top_p, BLOCK_V: tl.constexpr):
    """The largest logit from which up there is at least top_p of the weight that there is from the lowest up."""
    weight, least, _ = weight_from(p_row, V, lowest, top, inverse_temperature, BLOCK_V)
    target = top_p * weight
    low = ordered_image(least)
    high = ordered_image(top) + 1
    while low + 1 < high:
        middle = (low & high) + ((low ^ high) >> 1)
        weight, least, below = weight_from(p_row, V, ordered_value(middle), top, inverse_temperature, BLOCK_V)
        if weight >= target:
            low = ordered_image(least)
        else:
            high = ordered_image(below) + 1
    return ordered_value(low)

"""Decoders of GGUF blocks inside kernels (layouts: kernels/packed.py).

o_block: which blocks, with a trailing axis of 1 ([.., 1], int64); m_block: which of them exist; o_lane: 0..15
along that trailing axis. Each decoder gives f32 weights 0..15 and 16..31 of every block, [.., 16] twice; a
block that does not exist gives zeros. p_halves points to the same memory as p_weight, as f16.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def decode_q4_0(p_weight, p_halves, o_block, m_block, o_lane):
    b_scale = tl.load(p_halves + o_block * 9, mask=m_block, other=0.0).to(tl.float32)
    b_quant = tl.load(p_weight + o_block * 18 + 2 + o_lane, mask=m_block, other=0)
    b_min = -8.0 * b_scale
    return b_scale * (b_quant & 15).to(tl.float32) + b_min, b_scale * (b_quant >> 4).to(tl.float32) + b_min


@triton.jit
def decode_q4_1(p_weight, p_halves, o_block, m_block, o_lane):
    b_scale = tl.load(p_halves + o_block * 10, mask=m_block, other=0.0).to(tl.float32)
    b_min = tl.load(p_halves + o_block * 10 + 1, mask=m_block, other=0.0).to(tl.float32)
    b_quant = tl.load(p_weight + o_block * 20 + 4 + o_lane, mask=m_block, other=0)
    return b_scale * (b_quant & 15).to(tl.float32) + b_min, b_scale * (b_quant >> 4).to(tl.float32) + b_min


@triton.jit
def fifth_bits(p_halves, o_half, m_block, o_lane):
    """Bit j of the 32 bit word at p_halves + o_half, as 16 or 0, for weights 0..15 and 16..31."""
    b_first = tl.load(p_halves + o_half, mask=m_block, other=0.0).to(tl.int16, bitcast=True)
    b_last = tl.load(p_halves + o_half + 1, mask=m_block, other=0.0).to(tl.int16, bitcast=True)
    return ((b_first.to(tl.int32) >> o_lane) & 1) << 4, ((b_last.to(tl.int32) >> o_lane) & 1) << 4


@triton.jit
def decode_q5_0(p_weight, p_halves, o_block, m_block, o_lane):
    b_scale = tl.load(p_halves + o_block * 11, mask=m_block, other=0.0).to(tl.float32)
    b_fifth_first, b_fifth_last = fifth_bits(p_halves, o_block * 11 + 1, m_block, o_lane)
    b_quant = tl.load(p_weight + o_block * 22 + 6 + o_lane, mask=m_block, other=0).to(tl.int32)
    b_min = -16.0 * b_scale
    b_first = b_scale * ((b_quant & 15) | b_fifth_first).to(tl.float32) + b_min
    b_last = b_scale * ((b_quant >> 4) | b_fifth_last).to(tl.float32) + b_min
    return b_first, b_last


@triton.jit
def decode_q5_1(p_weight, p_halves, o_block, m_block, o_lane):
    b_scale = tl.load(p_halves + o_block * 12, mask=m_block, other=0.0).to(tl.float32)
    b_min = tl.load(p_halves + o_block * 12 + 1, mask=m_block, other=0.0).to(tl.float32)
    b_fifth_first, b_fifth_last = fifth_bits(p_halves, o_block * 12 + 2, m_block, o_lane)
    b_quant = tl.load(p_weight + o_block * 24 + 8 + o_lane, mask=m_block, other=0).to(tl.int32)
    b_first = b_scale * ((b_quant & 15) | b_fifth_first).to(tl.float32) + b_min
    b_last = b_scale * ((b_quant >> 4) | b_fifth_last).to(tl.float32) + b_min
    return b_first, b_last


@triton.jit
def decode_q8_0(p_weight, p_halves, o_block, m_block, o_lane):
    b_scale = tl.load(p_halves + o_block * 17, mask=m_block, other=0.0).to(tl.float32)
    p_quant = p_weight + o_block * 34 + 2 + o_lane
    b_first = tl.load(p_quant, mask=m_block, other=0).to(tl.int8, bitcast=True)
    b_last = tl.load(p_quant + 16, mask=m_block, other=0).to(tl.int8, bitcast=True)
    return b_scale * b_first.to(tl.float32), b_scale * b_last.to(tl.float32)


@triton.jit
def decode_blocks(p_weight, p_halves, o_block, m_block, o_lane, FORMAT: tl.constexpr):
    if FORMAT == "Q4_0":
        b_first, b_last = decode_q4_0(p_weight, p_halves, o_block, m_block, o_lane)
    elif FORMAT == "Q4_1":
        b_first, b_last = decode_q4_1(p_weight, p_halves, o_block, m_block, o_lane)
    elif FORMAT == "Q5_0":
        b_first, b_last = decode_q5_0(p_weight, p_halves, o_block, m_block, o_lane)
    elif FORMAT == "Q5_1":
        b_first, b_last = decode_q5_1(p_weight, p_halves, o_block, m_block, o_lane)
    else:
        tl.static_assert(FORMAT == "Q8_0")
        b_first, b_last = decode_q8_0(p_weight, p_halves, o_block, m_block, o_lane)
    return b_first, b_last

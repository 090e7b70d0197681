"""Decoders of GGUF blocks inside kernels (layouts: kernels/packed.py).

p_block: first bytes of the blocks; m_block: which of them exist, None for all (a block that does not exist
gives zeros); o_half, o_lane: which weights of a block, number 16 * o_half + o_lane. All four broadcast
against each other, and each decoder gives f32 weights of that shape: p_block [N, 1, 1], o_half 0..1 as [2, 1]
and o_lane 0..15 as [16] give all weights of N blocks in their order, [N, 2, 16]; an o_half of 0, and then of
1, gives the halves one by one.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl

from kernels.packed import BlockFormat


@triton.jit
def load_or_zero(p, m):
    """Loads where the mask says; a mask of None is none."""
    if m is None:
        return tl.load(p)
    else:
        return tl.load(p, mask=m, other=0)


@triton.jit
def load_half(p_bytes, m):
    """The f16 at an address of bytes, as f32."""
    return load_or_zero(p_bytes.to(tl.pointer_type(tl.float16), bitcast=True), m).to(tl.float32)


@triton.jit
def load_nibbles(p_bytes, m, o_half, o_lane):
    """Four bits of each byte, i32: the low ones for the first half of a block, the high ones for the second."""
    return (load_or_zero(p_bytes + o_lane, m).to(tl.int32) >> (4 * o_half)) & 15


@triton.jit
def load_fifth_bits(p_bytes, m, o_half, o_lane):
    """Bit 16 * o_half + o_lane of a 32 bit word, as 16 or 0."""
    p_word = p_bytes.to(tl.pointer_type(tl.int16), bitcast=True)
    return ((load_or_zero(p_word + o_half, m).to(tl.int32) >> o_lane) & 1) << 4


@triton.jit
def decode_q4_0(p_block, m_block, o_half, o_lane):
    b_scale = load_half(p_block, m_block)
    b_quant = load_nibbles(p_block + 2, m_block, o_half, o_lane)
    return b_scale * b_quant.to(tl.float32) - 8.0 * b_scale


@triton.jit
def decode_q4_1(p_block, m_block, o_half, o_lane):
    b_scale = load_half(p_block, m_block)
    b_min = load_half(p_block + 2, m_block)
    b_quant = load_nibbles(p_block + 4, m_block, o_half, o_lane)
    return b_scale * b_quant.to(tl.float32) + b_min


@triton.jit
def decode_q5_0(p_block, m_block, o_half, o_lane):
    b_scale = load_half(p_block, m_block)
    b_fifth = load_fifth_bits(p_block + 2, m_block, o_half, o_lane)
    b_quant = load_nibbles(p_block + 6, m_block, o_half, o_lane) | b_fifth
    return b_scale * b_quant.to(tl.float32) - 16.0 * b_scale


@triton.jit
def decode_q5_1(p_block, m_block, o_half, o_lane):
    b_scale = load_half(p_block, m_block)
    b_min = load_half(p_block + 2, m_block)
    b_fifth = load_fifth_bits(p_block + 4, m_block, o_half, o_lane)
    b_quant = load_nibbles(p_block + 8, m_block, o_half, o_lane) | b_fifth
    return b_scale * b_quant.to(tl.float32) + b_min


@triton.jit
def decode_q8_0(p_block, m_block, o_half, o_lane):
    b_scale = load_half(p_block, m_block)
    p_quant = (p_block + 2).to(tl.pointer_type(tl.int8), bitcast=True)
    return b_scale * load_or_zero(p_quant + 16 * o_half + o_lane, m_block).to(tl.float32)


@triton.constexpr_function
def block_bytes(FORMAT):
    return BlockFormat[FORMAT].block_bytes


@triton.jit
def decode_blocks(p_block, m_block, o_half, o_lane, FORMAT: tl.constexpr):
    if FORMAT == "Q4_0":
        return decode_q4_0(p_block, m_block, o_half, o_lane)
    elif FORMAT == "Q4_1":
        return decode_q4_1(p_block, m_block, o_half, o_lane)
    elif FORMAT == "Q5_0":
        return decode_q5_0(p_block, m_block, o_half, o_lane)
    elif FORMAT == "Q5_1":
        return decode_q5_1(p_block, m_block, o_half, o_lane)
    else:
        tl.static_assert(FORMAT == "Q8_0")
        return decode_q8_0(p_block, m_block, o_half, o_lane)


@triton.constexpr_function
def quants_at(FORMAT):
    """Bytes of a block in front of its quants."""
    return BlockFormat[FORMAT].block_bytes - (32 if FORMAT == "Q8_0" else 16)


@triton.jit
def word_at(p_bytes):
    """The address of four bytes, as one of an i32. It need not be aligned."""
    return p_bytes.to(tl.pointer_type(tl.int32), bitcast=True)


@triton.jit
def half_of(b_word, PART: tl.constexpr):
    """The low (0) or high (1) f16 of words, as f32."""
    return (b_word >> (16 * PART)).to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def decode_turned(p_block, FORMAT: tl.constexpr, BLOCKS: tl.constexpr):
    """p_block [BLOCKS, N] to f32 weights [BLOCKS * 32, N]: rows of a weight side by side.

    Only words are turned, each of four or eight weights, and what is done to a weight then takes the scales of as many
    rows at once as a vector holds. On processors that load words from any address.
    """
    N: tl.constexpr = p_block.shape[1]
    b_head = tl.load(word_at(p_block))  # [BLOCKS, N]: d, and m or the first quants
    b_scale = half_of(b_head, 0)[:, None, None, None, :]
    o_byte = tl.arange(0, 4)[None, None, None, :, None]
    HALVES: tl.constexpr = 1 if FORMAT == "Q8_0" else 2
    WORDS: tl.constexpr = 8 // HALVES
    p_word = word_at(p_block + quants_at(FORMAT))[:, :, None] + tl.arange(0, WORDS)[None, None, :]
    b_word = tl.trans(tl.load(p_word), 0, 2, 1)[:, None, :, None, :]  # [BLOCKS, 1, WORDS, 1, N]
    if FORMAT == "Q8_0":
        b_out = b_scale * ((b_word << (24 - 8 * o_byte)) >> 24).to(tl.float32)
    else:
        o_half = tl.arange(0, 2)[None, :, None, None, None]
        b_quant = (b_word >> (8 * o_byte + 4 * o_half)) & 15  # [BLOCKS, 2, 4, 4, N]
        if FORMAT == "Q5_0" or FORMAT == "Q5_1":
            o_lane = 16 * o_half + 4 * tl.arange(0, 4)[None, None, :, None, None] + o_byte
            b_fifth = tl.load(word_at(p_block + (quants_at(FORMAT) - 4)))[:, None, None, None, :]
            b_quant |= ((b_fifth >> o_lane) & 1) << 4
        if FORMAT == "Q4_1" or FORMAT == "Q5_1":
            b_min = half_of(b_head, 1)[:, None, None, None, :]
        else:
            b_min = (-8.0 if FORMAT == "Q4_0" else -16.0) * b_scale
        b_out = b_scale * b_quant.to(tl.float32) + b_min
    return tl.reshape(b_out, [BLOCKS * 32, N])

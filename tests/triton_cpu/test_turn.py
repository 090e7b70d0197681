"""Words that are loaded along one axis and used in vectors along another."""

import pytest
import torch
import triton
import triton.language as tl

from triton_cpu.codegen import Target, lower


@triton.jit
def bytes_kernel(p_x, p_out, N: tl.constexpr, WORDS: tl.constexpr, STRIDE: tl.constexpr):
    """out[w, b, n] is byte b of word w of row n of x, whose rows are STRIDE words long."""
    o_n, o_w, o_b = tl.arange(0, N), tl.arange(0, WORDS), tl.arange(0, 4)
    # Whatever takes some work to address is read once.
    o_row = tl.minimum(tl.maximum(o_n, 1), N - 2).to(tl.int64) * STRIDE
    x = tl.trans(tl.load(p_x + o_row[:, None] + o_w[None, :]))[:, None, :]
    out = (x >> (8 * o_b)[None, :, None]) & 255
    at = (o_w[:, None, None] * 4 + o_b[None, :, None]) * N + tl.arange(0, N)[None, None, :]
    tl.store(p_out + at, out)


@pytest.mark.parametrize("n", [4, 16, 64])
@pytest.mark.parametrize("words", [1, 2, 4, 16])
def test_bytes_of_words(n: int, words: int) -> None:
    x = torch.randint(-(2**31), 2**31, (n, words + 3), dtype=torch.int32)
    out = torch.empty(words, 4, n, dtype=torch.int32)
    bytes_kernel[(1,)](x, out, n, words, words + 3)
    x[0], x[-1] = x[1].clone(), x[-2].clone()  # the kernel repeats what lies beside the first and the last row
    parts = x[:, :words].contiguous().view(torch.uint8).view(n, words, 4)
    assert torch.equal(out, parts.permute(1, 2, 0).int())


@pytest.mark.parametrize("bits", [128, 256, 512])
def test_nothing_is_gathered(bits: int) -> None:
    x, out = torch.zeros(64, 7, dtype=torch.int32), torch.empty(4, 4, 64, dtype=torch.int32)
    ttir = bytes_kernel.warmup(x, out, N=64, WORDS=4, STRIDE=7, grid=(1,)).asm["ttir"]
    ir = lower(ttir, Target(bits)).llvm_ir
    assert "masked.gather" not in ir and "shufflevector <4 x i32>" in ir

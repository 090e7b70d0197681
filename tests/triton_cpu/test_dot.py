"""Matrix products of every tile shape and element type, chained and accumulated."""

import pytest
import torch
import triton
import triton.language as tl
from other_target import compiled_for

from triton_cpu import native
from triton_cpu.codegen import Target


@triton.jit
def dot_kernel(
    p_a, p_b, p_c,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, TB: tl.constexpr, STEPS: tl.constexpr, TA: tl.constexpr = False,
):  # fmt: skip
    o_m, o_n, o_k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    p_c += o_m[:, None] * N + o_n[None, :]
    acc = tl.load(p_c)
    for _ in range(STEPS):
        a = tl.load(p_a + (o_m[:, None] + o_k[None, :] * M if TA else o_m[:, None] * K + o_k[None, :]))
        b = tl.load(p_b + (o_n[None, :] * K + o_k[:, None] if TB else o_k[:, None] * N + o_n[None, :]))
        acc = tl.dot(a, b, acc, out_dtype=acc.dtype)
    tl.store(p_c, acc)


@pytest.mark.parametrize("m, n, k", [(1, 1, 1), (1, 16, 64), (2, 64, 16), (4, 4, 4), (16, 1, 16), (8, 32, 128),
                                     (64, 64, 32), (16, 128, 8), (32, 16, 256)])  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int8])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_tile_shape(m, n, k, dtype, transposed):
    # Small integers are exact in every type and order of summation.
    a, b = (torch.randint(-4, 5, s).to(dtype) for s in ((m, k), (n, k) if transposed else (k, n)))
    total = {torch.int8: torch.int32, torch.float64: torch.float64}.get(dtype, torch.float32)
    c = torch.randint(-4, 5, (m, n)).to(total)
    expected = (c.double() + 3 * a.double() @ (b.t() if transposed else b).double()).to(total)
    dot_kernel[(1,)](a, b, c, M=m, N=n, K=k, TB=transposed, STEPS=3)
    assert torch.equal(c, expected)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_vector_width(bits, dtype, transposed):
    a, b = (torch.randint(-4, 5, s).to(dtype) for s in ((8, 64), (32, 64) if transposed else (64, 32)))
    c = torch.ones(8, 32)
    compiled_for(Target(bits), dot_kernel, a, b, c, M=8, N=32, K=64, TB=transposed, STEPS=3)
    assert torch.equal(c, 1 + 3 * a.float() @ (b.t() if transposed else b).float())


@pytest.mark.skipif(not native.host_machine().has("avx512bf16"), reason="the processor has no bf16 products")
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("m, n, k", [(1, 16, 64), (8, 64, 32), (64, 32, 128)])
def test_bf16_in_pairs(m, n, k, transposed):
    """Also where f32 is faster."""
    a, b = (torch.randint(-4, 5, s).bfloat16() for s in ((m, k), (n, k) if transposed else (k, n)))
    c = torch.ones(m, n)
    ir = compiled_for(Target(512, bf16_dot=True), dot_kernel, a, b, c, M=m, N=n, K=k, TB=transposed, STEPS=3)
    assert "dpbf16ps" in ir
    assert torch.equal(c, 1 + 3 * a.float() @ (b.t() if transposed else b).float())


@pytest.mark.skipif(not native.host_machine().has_tiles, reason="the processor has no AMX, or the system keeps it")
@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize("m, n, k", [(1, 16, 32), (8, 64, 64), (16, 128, 64), (64, 32, 128), (32, 16, 512)])
def test_bf16_on_tiles(m, n, k, turned):
    a, b = (torch.randint(-4, 5, s).bfloat16() for s in ((m, k), (k, n)))
    given = [x.t().contiguous() if is_turned else x for x, is_turned in zip((a, b), turned, strict=True)]
    c, target = torch.ones(m, n), Target(512, bf16_tiles=True)
    ir = compiled_for(target, dot_kernel, *given, c, M=m, N=n, K=k, TB=turned[1], STEPS=3, TA=turned[0])
    assert "tdpbf16ps" in ir
    assert torch.equal(c, 1 + 3 * a.float() @ b.float())


@triton.jit
def chained_kernel(p_a, p_b, p_out, N: tl.constexpr):
    o = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    a, b = tl.load(p_a + o), tl.load(p_b + o)
    ab = tl.dot(a, b, input_precision="ieee")
    scaled = ab / tl.sum(tl.abs(ab), 1)[:, None]
    tl.store(p_out + o, tl.dot(scaled, tl.trans(ab), input_precision="ieee") + tl.trans(a))


def test_a_product_feeds_another_and_is_read_transposed():
    a, b = torch.randn(32, 32), torch.randn(32, 32)
    out = torch.empty(32, 32)
    chained_kernel[(1,)](a, b, out, N=32)
    ab = a @ b
    torch.testing.assert_close(out, ab / ab.abs().sum(1, keepdim=True) @ ab.t() + a.t(), rtol=1e-4, atol=1e-4)


@triton.jit
def rescaled_kernel(p_a, p_out, p_history, N: tl.constexpr, STEPS: tl.constexpr):
    o = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    a = tl.load(p_a + o)
    acc = tl.zeros([N, N], tl.float32)
    for step in range(STEPS):
        tl.store(p_history + step * N * N + o, acc)  # the old total is read besides the product
        acc = tl.dot(a, a, acc * 0.5, input_precision="ieee")
    tl.store(p_out + o, acc)


def test_an_accumulator_that_others_read_too():
    a = torch.randn(16, 16)
    out, history = torch.empty(16, 16), torch.empty(3, 16, 16)
    rescaled_kernel[(1,)](a, out, history, N=16, STEPS=3)
    total = torch.zeros(16, 16)
    for step in range(3):
        torch.testing.assert_close(history[step], total, rtol=1e-4, atol=1e-4)
        total = total * 0.5 + a @ a
    torch.testing.assert_close(out, total, rtol=1e-4, atol=1e-4)


@triton.jit
def biased_kernel(p_a, p_bias, p_out, N: tl.constexpr):
    o_n = tl.arange(0, N)
    o = o_n[:, None] * N + o_n[None, :]
    a = tl.load(p_a + o)
    tl.store(p_out + o, tl.dot(a, a, input_precision="ieee") + tl.load(p_bias + o_n)[None, :])


def test_a_bias_that_the_sum_starts_from_is_written_along_its_rows():
    a, bias, out = torch.randn(32, 32), torch.randn(32), torch.empty(32, 32)
    compiled = biased_kernel[(1,)](a, bias, out, N=32)
    torch.testing.assert_close(out, a @ a + bias, rtol=1e-4, atol=1e-4)
    assert "scatter" not in compiled.asm["llir"]

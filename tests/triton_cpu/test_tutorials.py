"""The kernels of Triton's tutorials, compiled for the CPU, against torch."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def add_kernel(p_x, p_y, p_out, n, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = o < n
    tl.store(p_out + o, tl.load(p_x + o, mask=m) + tl.load(p_y + o, mask=m), mask=m)


@triton.jit
def softmax_kernel(p_out, p_in, stride_in, stride_out, rows, cols, BLOCK: tl.constexpr):
    first, step = tl.program_id(0), tl.num_programs(0)
    for row in tl.range(first, rows, step):
        o = tl.arange(0, BLOCK)
        m = o < cols
        x = tl.load(p_in + row * stride_in + o, mask=m, other=-float("inf"))
        e = tl.exp(x - tl.max(x, axis=0))
        tl.store(p_out + row * stride_out + o, e / tl.sum(e, axis=0), mask=m)


@triton.jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


@triton.jit
def matmul_kernel(
    p_a, p_b, p_c, M, N, K, sam, sak, sbk, sbn, scm, scn,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr, ACTIVATION: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    blocks_m, blocks_n = tl.cdiv(M, BM), tl.cdiv(N, BN)
    in_group = GROUP * blocks_n
    group = pid // in_group
    first_m = group * GROUP
    rows = min(blocks_m - first_m, GROUP)
    i_m = first_m + ((pid % in_group) % rows)
    i_n = (pid % in_group) // rows
    o_m = (i_m * BM + tl.arange(0, BM)) % M
    o_n = (i_n * BN + tl.arange(0, BN)) % N
    o_k = tl.arange(0, BK)
    a_at = p_a + o_m[:, None] * sam + o_k[None, :] * sak
    b_at = p_b + o_k[:, None] * sbk + o_n[None, :] * sbn
    acc = tl.zeros((BM, BN), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BK)):
        a = tl.load(a_at, mask=o_k[None, :] < K - k * BK, other=0.0)
        b = tl.load(b_at, mask=o_k[:, None] < K - k * BK, other=0.0)
        acc = tl.dot(a, b, acc)
        a_at += BK * sak
        b_at += BK * sbk
    if ACTIVATION == "leaky_relu":
        acc = leaky_relu(acc)
    c = acc.to(p_c.dtype.element_ty)
    o_m = i_m * BM + tl.arange(0, BM)
    o_n = i_n * BN + tl.arange(0, BN)
    tl.store(p_c + scm * o_m[:, None] + scn * o_n[None, :], c, mask=(o_m[:, None] < M) & (o_n[None, :] < N))


@triton.jit
def dropout_kernel(p_x, p_out, n, p, seed, BLOCK: tl.constexpr):
    o = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m = o < n
    x = tl.load(p_x + o, mask=m)
    keep = tl.rand(seed, o) > p
    tl.store(p_out + o, tl.where(keep, x / (1 - p), 0.0), mask=m)


@triton.jit
def layer_norm_kernel(p_x, p_y, p_w, p_b, p_mean, p_rstd, stride, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    p_x += row * stride
    p_y += row * stride
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, N, BLOCK):
        o = start + tl.arange(0, BLOCK)
        total += tl.load(p_x + o, mask=o < N, other=0.0).to(tl.float32)
    mean = tl.sum(total, axis=0) / N
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, N, BLOCK):
        o = start + tl.arange(0, BLOCK)
        x = tl.load(p_x + o, mask=o < N, other=0.0).to(tl.float32)
        x = tl.where(o < N, x - mean, 0.0)
        squares += x * x
    rstd = 1 / tl.sqrt(tl.sum(squares, axis=0) / N + eps)
    tl.store(p_mean + row, mean)
    tl.store(p_rstd + row, rstd)
    for start in range(0, N, BLOCK):
        o = start + tl.arange(0, BLOCK)
        m = o < N
        w, b = tl.load(p_w + o, mask=m), tl.load(p_b + o, mask=m)
        x = tl.load(p_x + o, mask=m, other=0.0).to(tl.float32)
        tl.store(p_y + o, (x - mean) * rstd * w + b, mask=m)


@triton.jit
def attention_kernel(
    p_q, p_k, p_v, p_out, stride, N, scale,
    BM: tl.constexpr, BN: tl.constexpr, D: tl.constexpr, CAUSAL: tl.constexpr,
):  # fmt: skip
    i_m, head = tl.program_id(0), tl.program_id(1)
    p_q += head * stride
    p_k += head * stride
    p_v += head * stride
    p_out += head * stride
    o_m = i_m * BM + tl.arange(0, BM)
    o_d = tl.arange(0, D)
    q = tl.load(p_q + o_m[:, None] * D + o_d[None, :], mask=o_m[:, None] < N, other=0.0)
    top = tl.full([BM], -float("inf"), tl.float32)
    norm = tl.zeros([BM], tl.float32) + 1.0
    acc = tl.zeros([BM, D], tl.float32)
    end = min((i_m + 1) * BM, N) if CAUSAL else N
    for start in range(0, end, BN):
        o_n = start + tl.arange(0, BN)
        k = tl.load(p_k + o_n[None, :] * D + o_d[:, None], mask=o_n[None, :] < N, other=0.0)
        s = tl.dot(q, k) * (scale * 1.44269504)
        visible = o_n[None, :] < N
        if CAUSAL:
            visible = visible & (o_m[:, None] >= o_n[None, :])
        s = tl.where(visible, s, -1.0e6)
        highest = tl.maximum(top, tl.max(s, 1))
        p = tl.math.exp2(s - highest[:, None])
        alpha = tl.math.exp2(top - highest)
        norm = norm * alpha + tl.sum(p, 1)
        acc = acc * alpha[:, None]
        v = tl.load(p_v + o_n[:, None] * D + o_d[None, :], mask=o_n[:, None] < N, other=0.0)
        acc = tl.dot(p.to(v.dtype), v, acc)
        top = highest
    tl.store(
        p_out + o_m[:, None] * D + o_d[None, :],
        (acc / norm[:, None]).to(p_out.dtype.element_ty),
        mask=o_m[:, None] < N,
    )


def test_vector_add():
    x, y = torch.randn(98_433), torch.randn(98_433)
    out = torch.full_like(x, float("nan"))
    add_kernel[(triton.cdiv(x.numel(), 1024),)](x, y, out, x.numel(), BLOCK=1024)
    assert torch.equal(out, x + y)


@pytest.mark.parametrize("rows, cols", [(1, 1), (7, 781), (3, 2048)])
def test_fused_softmax(rows, cols):
    x = torch.randn(rows, cols) * 5
    out = torch.full_like(x, float("nan"))
    softmax_kernel[(2,)](out, x, cols, cols, rows, cols, BLOCK=triton.next_power_of_2(cols))
    torch.testing.assert_close(out, x.softmax(1), rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("activation", ["", "leaky_relu"])
def test_matmul(dtype, rtol, transposed, activation):
    m, n, k = 70, 90, 101
    a = torch.randn(m, k).to(dtype)
    b = torch.randn(n, k).to(dtype).t() if transposed else torch.randn(k, n).to(dtype)
    c = torch.full((m, n), float("nan"), dtype=dtype)
    matmul_kernel[(3 * 3,)](
        a, b, c, m, n, k, *a.stride(), *b.stride(), *c.stride(), BM=32, BN=32, BK=32, GROUP=2, ACTIVATION=activation
    )
    expected = a.double() @ b.double()
    if activation:
        expected = torch.nn.functional.leaky_relu(expected)
    torch.testing.assert_close(c.double(), expected, rtol=rtol, atol=rtol * 10)


def test_dropout_keeps_the_expected_share_and_repeats_with_its_seed():
    x = torch.randn(100_000)
    first, second, other = (torch.empty_like(x) for _ in range(3))
    for out, seed in ((first, 123), (second, 123), (other, 512)):
        dropout_kernel[(triton.cdiv(x.numel(), 1024),)](x, out, x.numel(), 0.3, seed, BLOCK=1024)
    kept = first != 0
    assert abs(kept.float().mean().item() - 0.7) < 0.01
    torch.testing.assert_close(first[kept], x[kept] / 0.7)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("rows, cols", [(1, 1), (5, 300), (2, 1151)])
def test_layer_norm(rows, cols):
    x, w, b = torch.randn(rows, cols) * 3 + 1, torch.randn(cols), torch.randn(cols)
    y, mean, rstd = torch.empty_like(x), torch.empty(rows), torch.empty(rows)
    layer_norm_kernel[(rows,)](x, y, w, b, mean, rstd, cols, cols, 1e-5, BLOCK=128)
    torch.testing.assert_close(y, torch.nn.functional.layer_norm(x, (cols,), w, b, 1e-5), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean, x.mean(1))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length, dim", [(100, 64), (33, 16)])
def test_fused_attention(dtype, tolerance, causal, length, dim):
    q, k, v = (torch.randn(3, length, dim).to(dtype) for _ in range(3))
    out = torch.full_like(q, float("nan"))
    attention_kernel[(triton.cdiv(length, 32), 3)](
        q, k, v, out, length * dim, length, dim**-0.5, BM=32, BN=32, D=dim, CAUSAL=causal
    )
    expected = torch.nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=causal)
    torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)

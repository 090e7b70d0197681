"""Loops with carried tiles, conditionals, while, and the operations that only rearrange a tile."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def carried_kernel(p_x, p_out, n, N: tl.constexpr):
    o = tl.arange(0, N)
    a = tl.load(p_x + o)
    b = tl.load(p_x + N + o)
    p_row = p_x + 2 * N + o
    k = o
    for _ in range(n):
        a, b = b + tl.load(p_row), a  # exchanged: neither may be overwritten too early
        p_row += N
        k += 2
    tl.store(p_out + o, a)
    tl.store(p_out + N + o, b)
    tl.store(p_out + 2 * N + o, k.to(tl.float32))
    tl.store(p_out + 3 * N + o, tl.load(p_row))


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("width", [16, 1024])
def test_carried_tiles_exchange_and_pointers_advance(steps, width):
    x, out = torch.randn(8, width), torch.empty(4, width)
    carried_kernel[(1,)](x, out, steps, N=width)
    a, b = x[0], x[1]
    for i in range(steps):
        a, b = b + x[2 + i], a
    assert torch.equal(out, torch.stack([a, b, torch.arange(width) + 2.0 * steps, x[2 + steps]]))


@triton.jit
def branch_kernel(p_x, p_out, flag, limit, N: tl.constexpr):
    o = tl.arange(0, N)
    x = tl.load(p_x + o)
    if flag > 0:
        y = x * 2
        scale = 3.0
    else:
        y = x + 1
        scale = 1.0
    i = 0
    total = tl.sum(y)
    while total < limit:
        total = total * 2 + 1
        i += 1
    rounds = tl.zeros([N], tl.float32)
    left = i
    while left > 0:
        rounds += y
        left -= 1
    tl.store(p_out + o, rounds * scale)
    if flag > 1:
        tl.store(p_out, total)


@pytest.mark.parametrize("flag", [0, 1, 2])
def test_branches_and_while(flag):
    x, out = torch.randint(1, 5, (32,)).float(), torch.empty(32)
    branch_kernel[(1,)](x, out, flag, 1000.0, N=32)
    y, scale = (x * 2, 3.0) if flag else (x + 1, 1.0)
    total, rounds = y.sum().item(), 0
    expected = torch.zeros(32)
    while total < 1000.0:
        total, rounds = total * 2 + 1, rounds + 1
        expected += y
    expected *= scale
    if flag > 1:
        expected[0] = total
    assert torch.equal(out, expected)


@triton.jit
def nested_kernel(p_x, p_out, n, m, N: tl.constexpr):
    o = tl.arange(0, N)
    acc = tl.zeros([N], tl.float32)
    for i in range(n):
        row = tl.zeros([N], tl.float32)
        for j in range(m):
            row += tl.load(p_x + (i * m + j) * N + o)
        acc = acc * 0.5 + row
    tl.store(p_out + o, acc)


def test_nested_loops():
    x, out = torch.randint(-9, 9, (12, 64)).float(), torch.empty(64)
    nested_kernel[(1,)](x, out, 3, 4, N=64)
    acc = torch.zeros(64)
    for rows in x.view(3, 4, 64):
        acc = acc * 0.5 + rows.sum(0)
    assert torch.equal(out, acc)


@triton.jit
def rearrange_kernel(p_x, p_out, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    o = tl.arange(0, A * B * C)
    x = tl.load(p_x + o)
    box = tl.reshape(x, [A, B, C])
    tl.store(p_out + o, tl.reshape(tl.permute(box, [2, 0, 1]), [A * B * C]))
    p_out += A * B * C
    tl.store(p_out + o, tl.reshape(tl.reshape(box * 2 + 1, [A * B, C]), [A * B * C]))
    p_out += A * B * C
    even, odd = tl.split(tl.reshape(x, [A * B * C // 2, 2]))
    tl.store(p_out + o, tl.reshape(tl.join(odd, even), [A * B * C]))
    p_out += A * B * C
    tl.store(p_out + o, tl.interleave(even * 2, odd))
    p_out += A * B * C
    row = tl.sum(box, 2)[:, :, None]
    tl.store(p_out + o, tl.reshape(tl.broadcast_to(row, [A, B, C]), [A * B * C]))


@pytest.mark.parametrize("box", [(1, 1, 2), (2, 4, 8), (4, 2, 32), (8, 16, 16), (64, 2, 2)])
def test_rearranging(box):
    a, b, c = box
    x = torch.randint(-9, 9, (a, b, c)).float()
    out = torch.empty(5, a * b * c)
    rearrange_kernel[(1,)](x, out, A=a, B=b, C=c)
    pairs = x.reshape(-1, 2)
    expected = [
        x.permute(2, 0, 1).reshape(-1),
        (x * 2 + 1).reshape(-1),
        pairs.flip(1).reshape(-1),
        torch.stack([pairs[:, 0] * 2, pairs[:, 1]], 1).reshape(-1),
        x.sum(2, keepdim=True).expand(a, b, c).reshape(-1),
    ]
    assert torch.equal(out, torch.stack(expected))


@triton.jit
def sort_kernel(p_x, p_out, R: tl.constexpr, C: tl.constexpr):
    o = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    tl.store(p_out + o, tl.sort(tl.load(p_x + o)))


def test_sort_which_triton_builds_from_reshapes_and_exchanges():
    x = torch.randn(4, 64)
    out = torch.empty_like(x)
    sort_kernel[(1,)](x, out, R=4, C=64)
    assert torch.equal(out, x.sort(1).values)


@triton.jit
def early_return_kernel(p_x, p_out, n, N: tl.constexpr):
    i = tl.program_id(0)
    if i >= n:
        return
    o = i * N + tl.arange(0, N)
    x = tl.load(p_x + o)
    if i == 1:
        tl.store(p_out + o, -x)
        return
    tl.store(p_out + o, x + 1)


def test_early_returns():
    x, out = torch.randn(4, 32), torch.zeros(4, 32)
    early_return_kernel[(4,)](x, out, 3, N=32)
    assert torch.equal(out, torch.stack([x[0] + 1, -x[1], x[2] + 1, torch.zeros(32)]))

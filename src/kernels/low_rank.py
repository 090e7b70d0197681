"""low_rank: the four data-dependent vectors of RWKV-7's time mixing, each from two thin matrices.

    log_w = -exp(-1/2) * sigmoid(bias_w + tanh(x_w @ down_w.T) @ up_w.T)     decay
    alpha = sigmoid(bias_a + (x_a @ down_a.T) @ up_a.T)                      in-context learning rate
    g     = sigmoid(x_g @ down_g.T) @ up_g.T                                 output gate
    nu    = sigmoid(bias_v + (x_v @ down_v.T) @ up_v.T)                      mix with the first layer's value

Two launches of one kernel, one for all `down` and one for all `up`. In each, a branch is a contiguous range of
programs, and the programs of all branches read about the same number of weights. Forms for few and for many rows
of x are those of `linear`; sums are f32.

Source: Peng et al., RWKV-7 "Goose", arXiv 2503.14456.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import matmul
from kernels.checks import ACTIVATIONS, WeightArguments, check_tensor, check_weight
from kernels.matmul import MatmulMeta, choose_tile, is_even, product
from kernels.packed import LowRank, WeightFormat, weight_bytes
from kernels.targets import Target, target_of

# Twice the rows of `linear` at once: sums over a rank are short, and what follows them is a vector of rows.
META: dict[Target, MatmulMeta] = {target: meta._replace(row_n=8, row_tile=512) for target, meta in matmul.META.items()}
STEP_WEIGHTS = 4096  # so many weights a program reads, about, in the form for few rows


class Product(NamedTuple):
    """The tensors of one product of a launch: out [T, N] = activation(x [T, K] @ weight [N, K].T + bias [N])."""

    x: Tensor
    weight: WeightArguments
    bias: Tensor | None
    out: Tensor
    activation: str


class Branch(NamedTuple):
    """The constexpr arguments of a Product."""

    rows: int  # N
    depth: int  # K
    format: str
    activation: str  # none, tanh, sigmoid, or decay
    even_k: bool
    block_k: int
    steps: int  # tiles of the weight that a program takes, one after the other
    first: int  # program of the launch
    last: int  # program, and one more


# What follows the products with down and with up.
ACTIVATIONS_OF = {
    "decay": ("tanh", "decay"),
    "rate": ("none", "sigmoid"),
    "gate": ("sigmoid", "none"),
    "value": ("none", "sigmoid"),
}


@triton.jit
def activate(b_z, ACTIVATION: tl.constexpr):
    if ACTIVATION == "tanh":
        return 2.0 * tl.sigmoid(2.0 * b_z) - 1.0
    elif ACTIVATION == "sigmoid":
        return tl.sigmoid(b_z)
    elif ACTIVATION == "decay":
        return -0.6065306597126334 * tl.sigmoid(b_z)
    else:
        return b_z


@triton.jit
def branch_program(
    p_x, p_weight, p_bias, p_out, i_n, T,
    N: tl.constexpr, K: tl.constexpr, FORMAT: tl.constexpr, ACTIVATION: tl.constexpr, STEPS: tl.constexpr,
    FORM: tl.constexpr, EVEN_K: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Program i_n of out [T, N] = activation(x [T, K] @ weight [N, K].T + bias)."""
    o_t = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    TILES: tl.constexpr = (N + BLOCK_N - 1) // BLOCK_N
    for tile in range(i_n * STEPS, tl.minimum(i_n * STEPS + STEPS, TILES)):
        o_n = tl.arange(0, BLOCK_N).to(tl.int64)
        # Long rows are read from far apart, as by matmul.weight_rows; short ones as one stream.
        o_n = tile + o_n * TILES if FORM == "rows" and STEPS == 1 else tile * BLOCK_N + o_n
        m_n = o_n < N
        b_out = product(
            p_x, p_weight, tl.minimum(o_t, T - 1), tl.minimum(o_n, N - 1), K,
            FORMAT, FORM, EVEN_K, BLOCK_M, BLOCK_N, BLOCK_K,
        )  # [BLOCK_M, BLOCK_N]  # fmt: skip
        if p_bias is not None:
            b_out += tl.load(p_bias + o_n, mask=m_n, other=0.0)[None, :]
        b_out = activate(b_out, ACTIVATION).to(p_out.dtype.element_ty)
        tl.store(p_out + o_t[:, None] * N + o_n[None, :], b_out, mask=(o_t < T)[:, None] & m_n[None, :])


@triton.jit(do_not_specialize=["T"])
def branches_kernel(
    p_x, p_weight, p_bias, p_out, T, BRANCHES: tl.constexpr,
    FORM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Pointers are tuples, one of each for every branch."""
    i_n = tl.program_id(1)
    for i in tl.static_range(len(BRANCHES)):
        if (i_n >= BRANCHES[i].first) & (i_n < BRANCHES[i].last):
            branch_program(
                p_x[i], p_weight[i], p_bias[i], p_out[i], i_n - BRANCHES[i].first, T,
                BRANCHES[i].rows, BRANCHES[i].depth, BRANCHES[i].format, BRANCHES[i].activation, BRANCHES[i].steps,
                FORM, BRANCHES[i].even_k, BLOCK_M, BLOCK_N, BRANCHES[i].block_k,
            )  # fmt: skip


def multiply(products: list[Product], invariant: bool) -> None:
    """All products in one launch."""
    T = products[0].x.shape[0]
    meta = META[target_of(products[0].x.device)]
    packed = all(product.weight.format != "dense" for product in products)
    tile = choose_tile(meta, products[0].x, packed, invariant)
    branches: list[Branch] = []
    first = 0
    for x, weight, _, out, activation in products:
        N, K = out.shape[1], x.shape[1]
        block_k = min(tile.block_k, max(32, triton.next_power_of_2(K)))
        steps = max(1, STEP_WEIGHTS // (tile.block_n * K)) if tile.form == "rows" else 1
        last = first + triton.cdiv(N, tile.block_n * steps)
        even_k = is_even(tile.form, K, block_k)
        branches.append(Branch(N, K, weight.format, activation, even_k, block_k, steps, first, last))
        first = last
    branches_kernel[(triton.cdiv(T, tile.block_m), first)](
        tuple(product.x for product in products),
        tuple(product.weight.data for product in products),
        tuple(product.bias for product in products),
        tuple(product.out for product in products),
        T, tuple(branches), tile.form, tile.block_m, tile.block_n,
        num_warps=meta.num_warps, num_stages=meta.num_stages,
    )  # fmt: skip


def low_rank(
    x: Tensor, decay: LowRank, rate: LowRank, gate: LowRank, value: LowRank | None, hidden: Tensor,
    log_w: Tensor, alpha: Tensor, g: Tensor, nu: Tensor | None, invariant: bool = False,
) -> Tensor:  # fmt: skip
    """x act [4, T, D] in the order w, a, g, v; log_w f32 [T, D], alpha, g and nu act [T, D]. Returns log_w.

    Without value and nu, x is [3, T, D]. hidden act [T, sum of the ranks R] is scratch: it holds the [T, R] of
    the branches one behind the other. invariant: see `kernels.ops.load_ops`. Raises ValueError naming the argument
    that does not fit.
    """
    matrices = {"decay": decay, "rate": rate, "gate": gate} | ({} if value is None else {"value": value})
    outputs = {"log_w": log_w, "alpha": alpha, "g": g} | ({} if nu is None else {"nu": nu})
    if len(outputs) != len(matrices):
        raise ValueError("nu: must be given with value, and not without")
    check_tensor("x", x, ACTIVATIONS, (len(matrices), x.shape[1], x.shape[-1]), x.device)
    _, T, D = x.shape
    ranks = [matrix.down.shape[0] for matrix in matrices.values()]
    check_tensor("hidden", hidden, (x.dtype,), (T, sum(ranks)), x.device)
    for output, out in outputs.items():
        check_tensor(output, out, (torch.float32 if output == "log_w" else x.dtype,), (T, D), x.device)
    downs, ups = [], []
    parts = hidden.view(-1).split([T * rank for rank in ranks])
    for (name, (down, up, bias)), x_i, h_i, out in zip(matrices.items(), x, parts, outputs.values(), strict=True):
        if bias is not None:
            check_tensor(f"{name}.bias", bias, (torch.float32,), (D,), x.device)
        h_i = h_i.view(T, -1)
        after_down, after_up = ACTIVATIONS_OF[name]
        downs.append(Product(x_i, check_weight(f"{name}.down", down, (None, D), x.device), None, h_i, after_down))
        ups.append(Product(h_i, check_weight(f"{name}.up", up, (D, h_i.shape[1]), x.device), bias, out, after_up))
    multiply(downs, invariant)
    multiply(ups, invariant)
    return log_w


def bytes_moved(tokens: int, width: int, ranks: list[int], weight_format: WeightFormat, act: torch.dtype) -> int:
    """x and the weights read, outputs written; hidden written and read. A bias for all but one of the branches."""
    branches = len(ranks)
    activations = ((2 * branches - 1) * width + 2 * sum(ranks)) * act.itemsize + 4 * width
    weights = 2 * weight_bytes(sum(ranks), width, weight_format)
    return tokens * activations + weights + 4 * width * (branches - 1)


def flops(tokens: int, width: int, ranks: list[int]) -> int:
    """Two products a branch; the activations' handful of operations an element is left out."""
    return 4 * tokens * width * sum(ranks)

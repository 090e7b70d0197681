"""The calls that kernels.bench measures: the shapes of a 135M-parameter Llama."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from kernels import embedding, linear, paged_attention, rms_norm, rope, swiglu
from kernels.ops import Ops
from kernels.packed import BlockFormat, PackedTensor, Weight, WeightFormat, dequantize, weight_bytes

WIDTH, Q_HEADS, KV_HEADS, HEAD_DIM, MLP, VOCABULARY = 576, 9, 3, 64, 1536, 49152
BLOCK_SIZE = 32
TOKENS = (1, 8, 512)
COLD_BYTES = 128 * 2**20  # of weights or KV cache: more than the last cache holds
MAX_COPIES = 128
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Run = Callable[[Ops], Tensor]  # calls an operation; what it gives is compared


class Case(NamedTuple):
    """One line of the table. Both lists hold the same call on different copies of its weights."""

    name: str
    shape: str
    kernel: list[Run]
    oracle: list[Run]
    bytes_moved: int
    flops: int


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype).to(DEVICE)


def same(value: float, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full((count,), value, dtype=dtype, device=DEVICE)


def random_weight(rows: int, columns: int, weight_format: WeightFormat) -> Weight:
    if not isinstance(weight_format, BlockFormat):
        return normal(rows, columns, dtype=weight_format)
    blocks = torch.randint(0, 256, (rows, columns // 32, weight_format.block_bytes), dtype=torch.uint8)
    blocks[..., 0:4].view(torch.float16).fill_(0.01)
    return PackedTensor(blocks.view(rows, -1).to(DEVICE), weight_format)


def cold_copies(nbytes: int) -> int:
    return min(MAX_COPIES, -(-COLD_BYTES // nbytes))


def weight_copies(rows: int, columns: int, weight_format: WeightFormat) -> list[Weight]:
    copies = cold_copies(weight_bytes(rows, columns, weight_format))
    return [random_weight(rows, columns, weight_format) for _ in range(copies)]


def dense_copies(weights: list[Weight]) -> list[Weight]:
    """The first of these weights in f32, as often as it takes to be cold."""
    first = weights[0]
    dense = dequantize(first) if isinstance(first, PackedTensor) else first.float()
    return [dense.clone() for _ in range(cold_copies(dense.nbytes))]


def pairs(weights: list[Weight]) -> list[tuple[Weight, Weight]]:
    return list(zip(weights[0::2], weights[1::2], strict=False)) or [(weights[0], weights[0])]


def format_name(weight_format: WeightFormat) -> str:
    return weight_format.name if isinstance(weight_format, BlockFormat) else "dense"


def linear_cases(act: torch.dtype) -> Iterator[Case]:
    def call(x: Tensor, weight: Weight, out: Tensor, ops: Ops) -> Tensor:
        return ops.linear(x, weight, out)

    for weight_format in (act, BlockFormat.Q4_1, BlockFormat.Q8_0):
        for rows, columns in [(960, WIDTH), (WIDTH, WIDTH), (WIDTH, MLP), (VOCABULARY, WIDTH)]:
            weights = weight_copies(rows, columns, weight_format)
            dense = dense_copies(weights)
            for tokens in TOKENS:
                if rows == VOCABULARY and tokens == 512:
                    continue  # of a prefill only the last row needs logits
                x, out = normal(tokens, columns, dtype=act), normal(tokens, rows)
                yield Case(
                    "linear",
                    f"{format_name(weight_format)} {tokens}x{columns} -> {rows}",
                    [partial(call, x, weight, out) for weight in weights],
                    [partial(call, x, weight, out.clone()) for weight in dense],
                    linear.bytes_moved(tokens, columns, rows, weight_format, act, out.dtype),
                    linear.flops(tokens, columns, rows),
                )


def swiglu_cases(act: torch.dtype) -> Iterator[Case]:
    def call(x: Tensor, gate: Weight, up: Weight, out: Tensor, ops: Ops) -> Tensor:
        return ops.swiglu(x, gate, up, out)

    for weight_format in (act, BlockFormat.Q4_1, BlockFormat.Q8_0):
        weights = weight_copies(MLP, WIDTH, weight_format)
        dense = dense_copies(weights[0:1]) + dense_copies(weights[1:2])
        dense[0::2], dense[1::2] = dense[: len(dense) // 2], dense[len(dense) // 2 :]
        for tokens in TOKENS:
            x, out = normal(tokens, WIDTH, dtype=act) / 8, normal(tokens, MLP, dtype=act)
            yield Case(
                "swiglu",
                f"{format_name(weight_format)} {tokens}x{WIDTH} -> {MLP}",
                [partial(call, x, *pair, out) for pair in pairs(weights)],
                [partial(call, x, *pair, out.clone()) for pair in pairs(dense)],
                swiglu.bytes_moved(tokens, WIDTH, MLP, weight_format, act),
                swiglu.flops(tokens, WIDTH, MLP),
            )


def paged_attention_cases(act: torch.dtype) -> Iterator[Case]:
    for sequences, queries, context in [(1, 1, 512), (8, 1, 512), (1, 1, 4096), (1, 512, 512)]:
        pages = context // BLOCK_SIZE
        shape = sequences * pages, KV_HEADS, BLOCK_SIZE, HEAD_DIM
        copies = cold_copies(2 * sequences * pages * KV_HEADS * BLOCK_SIZE * HEAD_DIM * act.itemsize)
        caches = [(normal(*shape, dtype=act), normal(*shape, dtype=act)) for _ in range(copies)]
        tables = torch.randperm(sequences * pages).view(sequences, pages).to(DEVICE, torch.int32)
        cu_seqlens = queries * torch.arange(sequences + 1, dtype=torch.int32, device=DEVICE)
        lengths = same(context, sequences, torch.int32)
        q = normal(sequences * queries, Q_HEADS, HEAD_DIM, dtype=act)
        scratch = normal(paged_attention.scratch_size(sequences * queries, Q_HEADS, HEAD_DIM, DEVICE))

        def call(
            inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], longest: int, out: Tensor, ops: Ops
        ) -> Tensor:
            return ops.paged_attention(*inputs, out, HEAD_DIM**-0.5, longest)

        batches = [(q, *cache, tables, cu_seqlens, lengths, scratch) for cache in caches]
        out, oracle_out = torch.empty_like(q), torch.empty_like(q)
        sizes = [queries] * sequences, [context] * sequences
        yield Case(
            "paged_attention",
            f"{sequences} x {queries} queries, context {context}",
            [partial(call, batch, queries, out) for batch in batches],
            [partial(call, batch, queries, oracle_out) for batch in batches],
            paged_attention.bytes_moved(*sizes, Q_HEADS, KV_HEADS, HEAD_DIM, act, act),
            paged_attention.flops(*sizes, Q_HEADS, HEAD_DIM),
        )


def embedding_cases(act: torch.dtype) -> Iterator[Case]:
    def call(ids: Tensor, out: Tensor, ops: Ops) -> Tensor:
        return ops.embedding(ids, table, out)

    table = random_weight(VOCABULARY, WIDTH, BlockFormat.Q8_0)
    for tokens in TOKENS:
        ids = torch.randint(0, VOCABULARY, (tokens,), dtype=torch.int32).to(DEVICE)
        yield Case(
            "embedding",
            f"Q8_0 {tokens}x{WIDTH}",
            *twice(partial(call, ids), normal(tokens, WIDTH, dtype=act)),
            embedding.bytes_moved(tokens, WIDTH, BlockFormat.Q8_0, act),
            embedding.flops(tokens, WIDTH),
        )


def add_rms_norm_cases(act: torch.dtype) -> Iterator[Case]:
    def call(x: Tensor, residual: Tensor, out: Tensor, ops: Ops) -> Tensor:
        return ops.add_rms_norm(x, scale, 1e-5, out, residual)

    scale = normal(WIDTH)
    for tokens in TOKENS:
        x = torch.zeros(tokens, WIDTH, dtype=act, device=DEVICE)  # the residual stays what it is
        yield Case(
            "add_rms_norm",
            f"{tokens}x{WIDTH}",
            *twice(partial(call, x, normal(tokens, WIDTH)), x),
            rms_norm.bytes_moved(tokens, WIDTH, act, residual=True),
            rms_norm.flops(tokens, WIDTH, residual=True),
        )


def rope_and_cache_cases(act: torch.dtype) -> Iterator[Case]:
    def call(k_cache: Tensor, v_cache: Tensor, qkv: Tensor, ops: Ops) -> Tensor:
        q, k, v = qkv.split([Q_HEADS, KV_HEADS, KV_HEADS], dim=1)
        slots = torch.arange(len(q), device=DEVICE)
        ops.rope_and_cache(q, k, v, same(0, len(q), torch.int32), cos_sin, slots, k_cache, v_cache, True)
        return qkv

    cos_sin = torch.cat((torch.ones(1, 32), torch.zeros(1, 32)), dim=1).to(DEVICE)  # angles 0: q stays
    for tokens in TOKENS:
        pages = -(-tokens // BLOCK_SIZE), KV_HEADS, BLOCK_SIZE, HEAD_DIM
        caches = normal(*pages, dtype=act), normal(*pages, dtype=act)
        yield Case(
            "rope_and_cache",
            f"{tokens} tokens",
            *twice(partial(call, *caches), normal(tokens, Q_HEADS + 2 * KV_HEADS, HEAD_DIM, dtype=act)),
            rope.bytes_moved(tokens, Q_HEADS, KV_HEADS, HEAD_DIM, act, act),
            rope.flops(tokens, Q_HEADS, KV_HEADS, HEAD_DIM),
        )


def twice(call: Callable[[Tensor, Ops], Tensor], out: Tensor) -> tuple[list[Run], list[Run]]:
    """The call for the kernel and for the oracle, each on a copy of what it writes."""
    return [partial(call, out.clone())], [partial(call, out.clone())]


CASES: dict[str, Callable[[torch.dtype], Iterator[Case]]] = {
    "linear": linear_cases,
    "swiglu": swiglu_cases,
    "paged_attention": paged_attention_cases,
    "embedding": embedding_cases,
    "add_rms_norm": add_rms_norm_cases,
    "rope_and_cache": rope_and_cache_cases,
}

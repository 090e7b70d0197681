"""Where the two forms of sparse_linear break even: `python -m kernels.bench_sparse_linear [--act float32]`.

Microseconds of the walk for rows of x that are zero here and there, independently of each other, beside those of the
tiles, which do not care. The weight is that of a channel mix of RWKV-7 0.1B. Each launch finds nothing of it in a
cache: a buffer larger than all caches is read in between. Run it alone on the machine.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from kernels.bench_cases import DEVICE, normal, random_weight
from kernels.launch_graph import LaunchGraph
from kernels.packed import BlockFormat, PackedColumns, PackedTensor, WeightFormat, columns_of
from kernels.sparse_linear import META, multiply_tiles, walk_nonzero
from kernels.targets import target_of

INPUTS, COLUMNS = 3072, 768
ZEROS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
ROWS = (1, 2, 4, 8, 16, 32)
COPIES = 12  # as a model has layers
CACHE_BYTES = 512 * 2**20
REPEATS = 7


def weights(weight_format: WeightFormat) -> list[Tensor | PackedColumns]:
    if not isinstance(weight_format, BlockFormat):
        return [normal(INPUTS, COLUMNS, dtype=weight_format) for _ in range(COPIES)]
    packed = [random_weight(COLUMNS, INPUTS, weight_format) for _ in range(COPIES)]
    return [columns_of(weight) for weight in packed if isinstance(weight, PackedTensor)]


def cold_seconds(
    call: Callable[[Tensor | PackedColumns], object], copies: list[Tensor | PackedColumns], others: Tensor
) -> float:
    """The median time of a call, of calls on all copies one after the other. `others` is read before them."""

    def run() -> None:
        for weight in copies:
            call(weight)

    graph = LaunchGraph(run, "compiled", DEVICE)
    times: list[float] = []
    for _ in range(REPEATS):
        others.sum()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        graph.replay()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / len(copies))
    return sorted(times)[REPEATS // 2]


def lines(act: torch.dtype, weight_format: WeightFormat) -> Iterator[str]:
    """A Markdown table: a line for each number of rows, a column for each share of zeros."""
    meta, copies = META[target_of(DEVICE)], weights(weight_format)
    scratch = torch.empty(INPUTS + 1, dtype=torch.int32, device=DEVICE)
    others = torch.zeros(CACHE_BYTES // 4, device=DEVICE)
    yield "| rows | " + " | ".join(f"{zeros:.0%} zero" for zeros in ZEROS) + " | tiles |"
    yield "|---" * (len(ZEROS) + 2) + "|"
    for rows in ROWS:
        out, cells = normal(rows, COLUMNS), []
        for zeros in ZEROS:
            x = (normal(rows, INPUTS) * (torch.rand(rows, INPUTS, device=DEVICE) >= zeros)).to(act)
            walk = partial(walk_nonzero, x, scratch=scratch, out=out, meta=meta)
            cells.append(cold_seconds(walk, copies, others))
        cells.append(cold_seconds(partial(multiply_tiles, x, out=out, meta=meta), copies, others))
        marked = [f"**{1e6 * cell:.0f}**" if cell < cells[-1] else f"{1e6 * cell:.0f}" for cell in cells]
        yield f"| {rows} | " + " | ".join(marked) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kernels.bench_sparse_linear")
    parser.add_argument("--act", choices=["float32", "bfloat16", "float16"], default="float32")
    act: torch.dtype = getattr(torch, parser.parse_args().act)
    torch.manual_seed(0)
    formats: tuple[WeightFormat, ...] = (act, BlockFormat.Q8_0)
    for weight_format in formats:
        name = "Q8_0" if isinstance(weight_format, BlockFormat) else str(act).removeprefix("torch.")
        print(f"\n{name} weight [{INPUTS}, {COLUMNS}], activations {act}, {torch.get_num_threads()} threads, us\n")
        for line in lines(act, weight_format):
            print(line, flush=True)


if __name__ == "__main__":
    main()

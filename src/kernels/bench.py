"""Microbenchmarks: `python -m kernels.bench [kernel] [--act float32]`.

Each kernel's time is given with the bandwidth and the arithmetic it amounts to, as shares of what two probes have
just reached on this machine, and beside its torch oracle (on dense f32 weights). Launches are replayed, so that
Python is not measured; weights and KV caches are read from copies that no cache holds together, as those of a
model's layers are. A kernel that disagrees with its oracle gets no time. Run it alone on the machine.
"""

import argparse
import time
from collections.abc import Callable

import torch
import triton
import triton.language as tl

from kernels.bench_cases import CASES, DEVICE, Case, normal
from kernels.bench_logits import LOGITS_CASES
from kernels.bench_rwkv7 import RWKV7_CASES
from kernels.bench_time_mix import TIME_MIX_CASES
from kernels.launch_graph import LaunchGraph
from kernels.ops import Ops, load_ops

SECONDS = 0.3  # spent measuring one call
TOLERANCE = 0.02  # relative error; the tests hold the kernels to less


@triton.jit
def read_kernel(p_x, p_out, LENGTH: tl.constexpr, STREAMS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sums STREAMS rows of LENGTH, walked side by side."""
    o_s = tl.program_id(0).to(tl.int64) * STREAMS + tl.arange(0, STREAMS)
    o_lane = tl.arange(0, 16)
    b_acc = tl.zeros([STREAMS, 16], dtype=tl.float32)
    for o in range(0, LENGTH, 16):
        b_acc += tl.load(p_x + o_s[:, None] * LENGTH + o + o_lane[None, :])
    tl.store(p_out + o_s, tl.sum(b_acc, axis=1))


def seconds(function: Callable[[], object]) -> float:
    """The median time of a call."""
    function()
    times: list[float] = []
    while sum(times) < SECONDS and len(times) < 10000:
        start = time.perf_counter()
        function()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def read_bandwidth() -> float:
    """Bytes a second that a kernel reaches which does nothing but read 256 MiB."""
    x, out = normal(2**14, 2**12), normal(2**14)
    graph = LaunchGraph(lambda: read_kernel[(2**11,)](x, out, 2**12, 8), "compiled", DEVICE)
    return x.nbytes / seconds(graph.replay)


def matmul_rate(act: torch.dtype) -> float:
    """Floating-point operations a second of torch's own matmul."""
    a, b = normal(1024, 1024, dtype=act), normal(1024, 1024, dtype=act)
    return 2 * 1024**3 / seconds(lambda: a @ b)


def line(case: Case, kernels: Ops, oracles: Ops, bandwidth: float, rate: float) -> str:
    """Checks and measures one case."""
    actual, expected = case.kernel[0](kernels).double(), case.oracle[0](oracles).double()
    finite = expected.isfinite()
    error = (actual - expected)[finite].norm() / (expected[finite].norm() + 1e-30)
    label = f"{case.name:16}{case.shape:36}"
    if not error <= TOLERANCE:
        return f"{label} differs from its oracle: relative error {float(error):.1e}"

    def run() -> None:
        for call in case.kernel:
            call(kernels)

    def run_oracle() -> None:
        for call in case.oracle:
            call(oracles)

    time_kernel = seconds(LaunchGraph(run, "compiled", DEVICE).replay) / len(case.kernel)
    time_oracle = seconds(run_oracle) / len(case.oracle)
    moved, done = case.bytes_moved / time_kernel, case.flops / time_kernel
    return (
        f"{label}{time_kernel * 1e6:10.1f} us{moved / 1e9:8.1f} GB/s{moved / bandwidth:6.0%}"
        f"{done / 1e9:9.1f} GFLOP/s{done / rate:6.0%}{time_oracle * 1e6:10.1f} us"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m kernels.bench")
    parser.add_argument("kernel", nargs="?", default="", help="only this kernel")
    parser.add_argument("--act", choices=["float32", "bfloat16", "float16"], default="float32")
    arguments = parser.parse_args()
    act: torch.dtype = getattr(torch, arguments.act)
    torch.manual_seed(0)
    kernels, oracles = load_ops("compiled"), load_ops("reference")
    bandwidth, rate = read_bandwidth(), matmul_rate(act)
    print(f"{DEVICE.type}, {torch.get_num_threads()} threads, activations {arguments.act}; probes reach")
    print(f"{bandwidth / 1e9:.1f} GB/s reading, {rate / 1e9:.0f} GFLOP/s in torch's matmul")
    print(f"{'kernel':16}{'shape':36}{'time':>13}{'bandwidth':>13}{'':6}{'arithmetic':>17}{'':6}{'torch':>13}")
    for names, cases in (CASES | LOGITS_CASES | RWKV7_CASES | TIME_MIX_CASES).items():
        if arguments.kernel in names:
            for case in cases(act):
                print(line(case, kernels, oracles, bandwidth, rate), flush=True)


if __name__ == "__main__":
    main()

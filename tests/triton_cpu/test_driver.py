import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from triton_cpu.driver import CPUDriver
from triton_cpu.recorder import record


@triton.jit
def tanh_kernel(p_x, p_out, n, scale, BLOCK: tl.constexpr):
    """out = tanh(x) * scale"""
    o_x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m_x = o_x < n
    tl.store(p_out + o_x, libdevice.tanh(tl.load(p_x + o_x, mask=m_x)) * scale, mask=m_x)


@triton.jit
def fp8e4b15_kernel(p_x, p_out, BLOCK: tl.constexpr):
    """Through the 8-bit float and back."""
    o_x = tl.arange(0, BLOCK)
    tl.store(p_out + o_x, tl.load(p_x + o_x).to(tl.float8e4b15).to(tl.float32))


def test_gpu_machines_keep_their_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_DEFAULT_BACKEND", raising=False)
    for has_gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert CPUDriver.is_active() is not has_gpu
    monkeypatch.setenv("TRITON_DEFAULT_BACKEND", "cpu")
    assert CPUDriver.is_active()


def test_kernel_runs_and_replays() -> None:
    x, out = torch.randn(1000), torch.zeros(1000)
    with record() as recording:
        tanh_kernel[(8,)](x, out, 1000, 2.0, BLOCK=128)
    torch.testing.assert_close(out, x.tanh() * 2)
    x.copy_(torch.randn(1000))
    recording.replay()
    torch.testing.assert_close(out, x.tanh() * 2)


def test_hooks_see_each_launch() -> None:
    x, out, seen = torch.randn(10), torch.zeros(10), []
    hooks = triton.knobs.runtime

    def enter(metadata) -> None:  # type: ignore[no-untyped-def]
        seen.append(metadata.get()["name"])

    def leave(metadata) -> None:  # type: ignore[no-untyped-def]
        seen.append(out.count_nonzero().item())

    hooks.launch_enter_hook.add(enter)
    hooks.launch_exit_hook.add(leave)
    try:
        tanh_kernel[(1,)](x, out, 10, 3.0, BLOCK=16)
    finally:
        hooks.launch_enter_hook.remove(enter)
        hooks.launch_exit_hook.remove(leave)
    assert seen == ["tanh_kernel", 10]


def test_options_of_gpu_kernels_are_accepted_and_typos_are_not() -> None:
    x, out = torch.randn(10), torch.zeros(10)
    tanh_kernel[(1,)](x, out, 10, 1.0, BLOCK=16, num_warps=8, num_stages=3, waves_per_eu=2, maxnreg=64)
    torch.testing.assert_close(out, x.tanh())
    with pytest.raises(KeyError, match="num_warp "):
        tanh_kernel[(1,)](x, out, 10, 1.0, BLOCK=16, num_warp=8)


def test_fp8e4b15_rounds_to_nearest() -> None:
    steps = torch.cat(
        (torch.arange(8) / 8 * 2.0**-14, *(2.0**e * (1 + torch.arange(8) / 8) for e in range(-14, 1)))
    )
    grid = torch.cat((-steps.flip(0), steps))
    x, out = torch.linspace(-2.5, 2.5, 4096), torch.zeros(4096)
    fp8e4b15_kernel[(1,)](x, out, BLOCK=4096)
    nearest = (x[:, None] - grid).abs().amin(1)
    # The cast goes through half precision, whose own rounding moves values near a tie.
    torch.testing.assert_close((x - out).abs(), nearest, rtol=0, atol=2**-10)


def test_benchmark_measures_milliseconds() -> None:
    x, out = torch.randn(10), torch.zeros(10)
    low, high = triton.testing.do_bench(
        lambda: tanh_kernel[(1,)](x, out, 10, 1.0, BLOCK=16), warmup=1, rep=5, quantiles=[0.0, 1.0]
    )
    assert 0 < low <= high


@pytest.mark.parametrize("interpret", ["0", "1"])
def test_kernels_run_in_a_new_process(interpret: str, tmp_path: Path) -> None:
    """Triton imports the backend while it is being imported itself; interpreted kernels have no backend."""
    script = tmp_path / "kernel.py"
    script.write_text("""
import triton
import triton.language as tl
import torch

@triton.jit
def double(p_x, BLOCK: tl.constexpr):
    o_x = tl.arange(0, BLOCK)
    tl.store(p_x + o_x, tl.load(p_x + o_x) * 2)

x = torch.ones(16)
double[(1,)](x, BLOCK=16)
print(type(double).__name__, x.sum().item())
""")
    result = subprocess.run(
        [sys.executable, str(script)],
        env={"TRITON_INTERPRET": interpret, "TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    expected = "InterpretedFunction" if interpret == "1" else "JITFunction"
    assert result.stdout.split() == [expected, "32.0"], result.stderr

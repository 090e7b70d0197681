import pytest
from kernel_testing import INTERPRETED

from kernels import bench, bench_sparse_linear


@pytest.mark.skipif(INTERPRETED, reason="measures compiled kernels")
@pytest.mark.parametrize("kernel", ["add_rms_norm", "wkv7_fold", "time_mix_output"])
def test_prints_a_line_a_case(kernel: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "SECONDS", 1e-9)  # one call each
    monkeypatch.setattr("sys.argv", ["bench", kernel])
    bench.main()
    header, *lines = capsys.readouterr().out.splitlines()[2:]
    assert header.split()[:2] == ["kernel", "shape"]
    assert len(lines) == 3
    assert all("GB/s" in line for line in lines)


@pytest.mark.skipif(INTERPRETED, reason="measures compiled kernels")
def test_prints_where_the_forms_of_sparse_linear_break_even(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"INPUTS": 64, "COLUMNS": 48, "ZEROS": (0.5,), "ROWS": (1, 2), "COPIES": 1, "CACHE_BYTES": 64}
    for name, value in small.items():
        monkeypatch.setattr(bench_sparse_linear, name, value)
    monkeypatch.setattr("sys.argv", ["bench_sparse_linear"])
    bench_sparse_linear.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| 1 |", "| 2 |"))]
    assert len(rows) == 4
    assert all(line.count("|") == 4 for line in rows)

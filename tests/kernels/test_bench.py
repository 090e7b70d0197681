import pytest
from kernel_testing import INTERPRETED

from kernels import bench


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

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_programs import COUNT, address

from triton_cpu import native
from triton_cpu.arguments import argument_packer
from triton_cpu.thread_team import RunRecords, load_launcher, run_records, torch_openmp

extent = st.integers(0, 17)


def _count(run: RunRecords, grid: tuple[int, int, int]) -> torch.Tensor:
    counters = torch.zeros(grid[0] * grid[1] * grid[2] + 1, dtype=torch.int64)
    pack = argument_packer(["counters"], ["*i64"])
    run(pack(address(COUNT, "count"), *grid, counters))
    assert counters[-1] == 0
    return counters[:-1]


# More threads than cores: the waiting ones have to give way.
@given(grid=st.tuples(extent, extent, extent), threads=st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_every_program_runs_once(grid: tuple[int, int, int], threads: int) -> None:
    torch.set_num_threads(threads)
    assert _count(run_records(), grid).eq(1).all()


def test_without_openmp_everything_runs_in_the_caller() -> None:
    torch.set_num_threads(2)
    assert _count(load_launcher(None), (5, 3, 2)).eq(1).all()


def test_kernels_use_the_threads_of_torch() -> None:
    """The parallel region is torch's own: its runtime reports the number of threads that torch was told."""
    openmp = torch_openmp()
    assert openmp is not None
    report = """
declare i32 @omp_get_num_threads()
define void @report(ptr %args, i32 %x, i32 %y, i32 %z, i32 %gx, i32 %gy, i32 %gz) {
  %p = load ptr, ptr %args
  %threads = call i32 @omp_get_num_threads()
  store i32 %threads, ptr %p
  ret void
}
"""
    function = native.load_object(
        native.compile_ir(report), "report", {"omp_get_num_threads": openmp.num_threads}
    )
    pack = argument_packer(["p"], ["*i32"])
    seen = torch.zeros(1, dtype=torch.int32)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        run_records()(pack(function, 2, 1, 1, seen))
        assert seen.item() == threads

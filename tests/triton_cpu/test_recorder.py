import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_programs import COUNT, MIX, address

from triton_cpu.errors import RecordingError
from triton_cpu.launch import CPULauncher
from triton_cpu.recorder import record


class Source:
    def __init__(self, **signature: str) -> None:
        self.signature = signature


def _launch(launcher: CPULauncher, symbol: str, text: str, grid: int, *arguments: object) -> None:
    launcher(grid, 1, 1, 0, address(text, symbol), None, None, None, None, *arguments)


def _count(counters: torch.Tensor, grid: int) -> None:
    _launch(CPULauncher(Source(counters="*i64"), None), "count", COUNT, grid, counters)


@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 3, 8, 40]), max_size=30),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=40)
def test_replay_is_the_same_as_the_launches(sizes: list[int], threads: int, seed: int) -> None:
    """Each program reads what its neighbour wrote one launch before, so a launch that starts early shows."""
    torch.set_num_threads(threads)
    launcher = CPULauncher(Source(source="*i64", target="*i64", scale="i64", shift="i64", n="i32"), None)
    generator = torch.Generator().manual_seed(seed)
    buffers = [torch.arange(40), torch.zeros(40, dtype=torch.int64)]
    expected = [buffer.clone() for buffer in buffers]

    def reference() -> None:
        for step, n in enumerate(sizes):
            source, target = expected[step % 2], expected[1 - step % 2]
            target[:n] = source.roll(-1)[:n] if n == 40 else torch.cat((source[1:n], source[:1]))[:n]
            target[:n] = target[:n] * scales[step] + step

    scales = torch.randint(-5, 6, (len(sizes),), generator=generator).tolist()
    with record() as recording:
        for step, n in enumerate(sizes):
            _launch(
                launcher,
                "mix",
                MIX,
                n,
                buffers[step % 2],
                buffers[1 - step % 2],
                scales[step],
                step,
                max(n, 1),
            )
    reference()
    assert [b.tolist() for b in buffers] == [b.tolist() for b in expected]
    assert len(recording) == len(sizes)
    for _ in range(3):
        recording.replay()
        reference()
    assert [b.tolist() for b in buffers] == [b.tolist() for b in expected]


def test_blocks_nest_and_replays_are_recorded() -> None:
    counters = torch.zeros(4, dtype=torch.int64)
    with record() as outer:
        _count(counters, 4)
        with record() as inner:
            _count(counters, 2)
        inner.replay()
    assert counters.tolist() == [3, 3, 1, 1]
    outer.replay()
    assert (len(inner), len(outer)) == (1, 3)
    assert counters.tolist() == [6, 6, 2, 2]


def test_recording_keeps_tensors() -> None:
    counters = torch.zeros(4, dtype=torch.int64)
    with record() as inner:
        _count(counters, 4)
    with record() as outer:
        inner.replay()
    alive = weakref.ref(counters)
    del counters, inner
    gc.collect()
    assert alive() is not None
    outer.replay()
    del outer
    gc.collect()
    assert alive() is None


def test_incomplete_recordings_do_not_replay() -> None:
    counters = torch.zeros(4, dtype=torch.int64)
    with record() as recording:
        _count(counters, 4)
        with pytest.raises(RecordingError):
            recording.replay()
    with pytest.raises(ZeroDivisionError), record() as failed:
        raise ZeroDivisionError
    with pytest.raises(RecordingError):
        failed.replay()
    _count(counters, 4)
    assert len(failed) == 0
    assert counters.tolist() == [2, 2, 2, 2]

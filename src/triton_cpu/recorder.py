"""Recording kernel launches, to run them again in one native call.

What a CUDA graph does for a GPU: a launch through Python takes tens of microseconds, one in a replay well
under one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from triton_cpu.errors import RecordingError
from triton_cpu.thread_team import run_records


class Recording:
    """The launches made in a `record()` block, in order.

    Arguments are those of the recorded launches: the same tensors (which it keeps alive) and the same
    numbers. Whoever replays changes what a tensor holds, not which tensor it is. Operations other than kernel
    launches (torch's own, for instance) are not recorded.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._references: list[Any] = []
        self._launches = 0
        self._records: bytes | None = None

    def __len__(self) -> int:
        return self._launches

    def add(self, records: bytes, launches: int, references: Any) -> None:
        """Appends launch records, and what has to stay alive for them."""
        self._parts.append(records)
        self._references.append(references)
        self._launches += launches

    def finish(self) -> None:
        """Ends recording; from here on it can be replayed."""
        self._records = b"".join(self._parts)
        self._parts.clear()

    def replay(self) -> None:
        """Runs the launches again, each after the one before it, on as many threads as torch now uses.

        Raises RecordingError before the end of the `record()` block, or if that block failed.
        """
        records = self._records
        if records is None:
            raise RecordingError(
                "this recording is not complete: replay it after its record() block has ended well"
            )
        run_records()(records)
        for outer in active.recordings:
            outer.add(records, self._launches, self)


class _Active(threading.local):
    """Recordings that launches of this thread go to; a block inside a block adds to both."""

    recordings: tuple[Recording, ...] = ()


active = _Active()


@contextmanager
def record() -> Iterator[Recording]:
    """Records the kernel launches that this thread makes in the block; they also run as usual.

    Blocks may be nested, and a replay in a block is recorded as the launches that it runs.
    """
    recording = Recording()
    before = active.recordings
    active.recordings = (*before, recording)
    try:
        yield recording
    finally:
        active.recordings = before
    recording.finish()

"""What grammars allow, computed while the model runs."""

import weakref
from queue import SimpleQueue
from threading import Thread

import numpy as np

from runtime.scheduler import Scheduled


class MaskThread:
    """Computes the masks of one step at a time. Two queues: an executor's futures cost a tenth of a millisecond more,
    as a step leaves no code in the processor's caches."""

    def __init__(self, words: int) -> None:
        """words: of 32 tokens, in a row."""
        self._entries: SimpleQueue[list[Scheduled] | None] = SimpleQueue()
        self._results: SimpleQueue[np.ndarray | BaseException] = SimpleQueue()
        self._is_busy = False
        Thread(target=_serve, args=(self._entries, self._results, words), name="grammar", daemon=True).start()
        weakref.finalize(self, self._entries.put, None)

    def begin(self, entries: list[Scheduled]) -> None:
        """Start on the rows of these. Nobody else may use their grammars until `take`."""
        if self._is_busy:  # the last step failed on its way
            self._results.get()
        self._entries.put(entries)
        self._is_busy = True

    def take(self) -> np.ndarray:
        """The masks that were begun last, once. Raises what went wrong in the thread."""
        assert self._is_busy
        self._is_busy = False
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result


def _serve(
    entries: "SimpleQueue[list[Scheduled] | None]", results: "SimpleQueue[np.ndarray | BaseException]", words: int
) -> None:
    while _serve_one(entries.get(), results, words):
        pass  # and hold no step: sequences are to end with their requests


def _serve_one(step: list[Scheduled] | None, results: "SimpleQueue[np.ndarray | BaseException]", words: int) -> bool:
    if step is not None:
        try:
            results.put(compute_masks(step, words))
        except BaseException as error:
            results.put(error)
    return step is not None


def compute_masks(entries: list[Scheduled], words: int) -> np.ndarray:
    """Of these, int32 [L, words] as mask_logits has it, with 1 + drafts rows of each entry (all tokens allowed where it
    has no grammar)."""
    bits = np.empty((sum(1 + entry.drafts for entry in entries), words), np.int32)
    first = 0
    for entry in entries:
        rows = bits[first : first + 1 + entry.drafts]
        if entry.sequence.grammar:
            entry.sequence.grammar.fill(entry.guesses, rows)
        else:
            rows.fill(-1)
        first += len(rows)
    return bits

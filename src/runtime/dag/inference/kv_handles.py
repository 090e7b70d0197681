"""The handles that documents hold, as opaque strings."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.budget import Reservation
from runtime.memory.handle import Handle

_SCHEME = "kv"


class Continuation(NamedTuple):
    """What a handle stands for: tokens to go on from, and memory of as many of them as `handle` begins with."""

    tokens: tuple[int, ...]
    handle: Handle


class Shelf(Protocol):
    """The engine, as far as it holds memory."""

    def release(self, handle: Handle) -> None: ...


@dataclass(frozen=True)
class _Entry:
    continuation: Continuation
    reservation: Reservation | None


class KVHandleTable:
    """Names of continuations of one model.

    A name says which model it is of and is a hash of the tokens and of the branch: it tells nothing, cannot be guessed
    without them, and is the same in each run that makes the same. A continuation may have several names, and be held
    without any; its memory is given back with the last. Where memory was needed elsewhere in the meantime, a name is as
    good as before: it is computed again.
    """

    def __init__(self, engine: Shelf, fingerprint: str) -> None:
        self._engine = engine
        self._prefix = f"{_SCHEME}:{hashlib.sha256(fingerprint.encode()).hexdigest()[:8]}:"
        self._entries: dict[str, _Entry] = {}
        self._holds: Counter[Handle] = Counter()
        self._given: Counter[str] = Counter()  # names given for the same tokens, since all were released

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    @property
    def names(self) -> set[str]:
        """All that were given and not released."""
        return set(self._entries)

    def name(
        self, continuation: Continuation, reservation: Reservation | None = None, branch: tuple[int, ...] = ()
    ) -> str:
        """A new name, which holds the continuation until it is released, and what is reserved for its memory. branch:
        in which it is made, so that no name depends on which of several branches was faster."""
        tokens = ",".join(map(str, continuation.tokens))
        digest = hashlib.sha256(f"{self._prefix}{branch}{tokens}".encode()).hexdigest()[:24]
        name = f"{self._prefix}{digest}.{self._given[digest]}"
        self._given[digest] += 1
        self._entries[name] = _Entry(continuation, reservation)
        self.hold(continuation)
        return name

    def get(self, name: str) -> Continuation:
        """Raises NodeError: INVALID_INPUT if it is no handle or another model's, KV_EXPIRED if it was released."""
        if (entry := self._entries.get(name)) is not None:
            return entry.continuation
        if not name.startswith(f"{_SCHEME}:"):
            raise NodeError(Code.INVALID_INPUT, f"{_shown(name)} is no KV handle: pass one that an inference has given")
        if not name.startswith(self._prefix):
            raise NodeError(
                Code.INVALID_INPUT, f"the KV handle {_shown(name)} is another model's: use it with that one"
            )
        raise NodeError(
            Code.KV_EXPIRED, f"the KV handle {_shown(name)} was released, or is another run's: prompt again"
        )

    def release(self, name: str) -> None:
        """The name is not used any more; nothing happens if it was released before."""
        if (entry := self._entries.pop(name, None)) is not None:
            if entry.reservation is not None:
                entry.reservation.release()
            self.let_go(entry.continuation)

    def release_all(self) -> None:
        """The run has ended."""
        for name in list(self._entries):
            self.release(name)
        self._given.clear()

    def hold(self, continuation: Continuation) -> None:
        """Keeps its memory until somebody lets go as often as it was held."""
        self._holds[continuation.handle] += 1

    def let_go(self, continuation: Continuation) -> None:
        handle = continuation.handle
        self._holds[handle] -= 1
        if not self._holds[handle]:
            del self._holds[handle]
            self._engine.release(handle)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "...")

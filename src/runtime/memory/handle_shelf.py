"""All handles whose blocks are held, until they are released, expire or are given up."""

from collections import Counter
from collections.abc import Callable

from runtime.memory.handle import Handle
from runtime.memory.kv_block_allocator import KVBlockAllocator


class HandleShelf:
    """Holds the blocks of handles. seconds: how long a handle lives after its last use; None: for ever. clock: in
    seconds."""

    def __init__(self, allocator: KVBlockAllocator, seconds: float | None, clock: Callable[[], float]) -> None:
        self._allocator = allocator
        self._seconds = seconds
        self._clock = clock
        self._used: dict[Handle, float] = {}  # when each was last used; the least recently used comes first

    def __contains__(self, handle: Handle) -> bool:
        return handle in self._used

    def __len__(self) -> int:
        return len(self._used)

    def put(self, handle: Handle) -> None:
        """Takes over the caller's hold on the handle's blocks."""
        self._used[handle] = self._clock()

    def use(self, handle: Handle) -> None:
        """Its time begins again."""
        if handle in self._used:
            del self._used[handle]
            self.put(handle)

    def release(self, handle: Handle) -> None:
        """Gives its blocks back, if that has not happened before."""
        if self._used.pop(handle, None) is not None:
            self._allocator.free(handle.blocks)

    def expire(self) -> None:
        """Releases those that nobody has used for too long."""
        if self._seconds is not None:
            oldest = self._clock() - self._seconds
            for handle in [handle for handle, used in self._used.items() if used < oldest]:
                self.release(handle)

    def give_up_one(self) -> bool:
        """Releases the least recently used handle; False if there is none."""
        for handle in self._used:
            self.release(handle)
            return True
        return False

    @property
    def own_blocks(self) -> int:
        """How many blocks nobody but handles holds."""
        counts = Counter(block for handle in self._used for block in handle.blocks)
        return sum(self._allocator.holders(block) == count for block, count in counts.items())

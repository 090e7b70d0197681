"""Which blocks of the KV cache are in use, and by how many page tables: integers only, no tensors."""

from collections.abc import Iterable, Sequence


class KVBlockAllocator:
    """Reference-counted blocks 0 .. total-1. A block is free or held by one or more page tables."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._references = [0] * total
        self._free = list(reversed(range(total)))  # a stack: the block freed last is still in the CPU's caches

    @property
    def free_blocks(self) -> int:
        return len(self._free)

    def allocate(self, count: int) -> list[int]:
        """`count` blocks, each held once. The caller has made sure that so many are free."""
        assert 0 <= count <= len(self._free), f"{count} blocks asked, {len(self._free)} free"
        blocks = [self._free.pop() for _ in range(count)]
        for block in blocks:
            self._references[block] = 1
        return blocks

    def share_prefix(self, page_table: Sequence[int], count: int) -> list[int]:
        """The first `count` blocks of a page table, each held once more: a second page table may begin with
        them.

        Only whole blocks may be shared, as nobody may write to a block that two page tables hold.
        """
        assert 0 <= count <= len(page_table)
        for block in page_table[:count]:
            assert self._references[block] > 0, f"block {block} is free: nothing to share"
            self._references[block] += 1
        return list(page_table[:count])

    def free(self, blocks: Iterable[int]) -> None:
        """Gives back one reference of each block; those that nobody holds any more become free."""
        for block in blocks:
            assert self._references[block] > 0, f"block {block} is freed more often than held"
            self._references[block] -= 1
            if self._references[block] == 0:
                self._free.append(block)

    def check(self) -> None:
        """Conservation: every block is either free, once, or held."""
        held = sum(references > 0 for references in self._references)
        assert len(self._free) + held == self.total, f"{len(self._free)} free + {held} held != {self.total}"
        assert len(set(self._free)) == len(self._free), "a block is free twice"
        assert not any(self._references[block] for block in self._free), "a free block is held"

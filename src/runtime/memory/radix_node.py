"""A node of the tree of token prefixes."""

from array import array
from typing import Optional

from runtime.memory.eviction import Evictable


class RadixNode(Evictable):
    """An edge of tokens [start, end) of a sequence, and what is kept of the memory that they have left.

    parent: None for the root, whose edge is empty. edge: token ids, i32. children: by the first token of their edges,
    all of which begin at `end`. blocks: pages of keys and values start // block_size .. ceil(end / block_size) - 1 of
    the sequence, each filled as far as `end` (or farther, by somebody below); or, of recurrent states, the one after
    the token before `end`, or none.
    """

    __slots__ = ("blocks", "children", "edge", "parent", "start")

    def __init__(self, parent: Optional["RadixNode"], start: int, edge: "array[int]", blocks: list[int]) -> None:
        super().__init__()
        self.parent = parent
        self.start = start
        self.edge = edge
        self.blocks = blocks
        self.children: dict[int, RadixNode] = {}

    @property
    def end(self) -> int:
        return self.start + len(self.edge)

    def split(self, at: int) -> "RadixNode":
        """A new node above this one that takes over the tokens before `at`, and no blocks."""
        assert self.parent is not None and self.start < at < self.end
        cut = at - self.start
        upper = RadixNode(self.parent, self.start, self.edge[:cut], [])
        upper.children[self.edge[cut]] = self
        self.parent.children[self.edge[0]] = upper
        self.parent, self.start, self.edge = upper, at, self.edge[cut:]
        return upper

    def join_parent(self) -> None:
        """Takes over the tokens of the parent, which has no other child, and its place in the tree."""
        parent = self.parent
        assert parent is not None and parent.parent is not None and len(parent.children) == 1
        self.parent, self.start, self.edge = parent.parent, parent.start, parent.edge + self.edge
        self.parent.children[self.edge[0]] = self

    def remove(self) -> "RadixNode":
        """Cuts this node off; returns its parent."""
        assert self.parent is not None
        del self.parent.children[self.edge[0]]
        return self.parent

"""What goes first when blocks are needed: the policies, and the queue of all that may go."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar


class Evictable:
    """How something that may be evicted has been used.

    last: time of the last use, in ticks of the queue's clock. uses: how many there were. floor: what the thing evicted
    last had been worth at the time of the last use. queued: whether the queue has it.
    """

    __slots__ = ("floor", "last", "queued", "uses")

    def __init__(self) -> None:
        self.last = 0
        self.uses = 0
        self.floor = 0.0
        self.queued = False

    def inherit(self, other: "Evictable") -> None:
        """Counts uses of the other as its own: who used that used a part of this."""
        self.last = max(self.last, other.last)
        self.uses = max(self.uses, other.uses)
        self.floor = max(self.floor, other.floor)


EvictionPolicy = Callable[[Evictable, int], float]
"""What it is worth to keep something; what is worth least goes first. The number is the cost of losing its next block:
how many tokens would have to be computed again. Worth must not fall when a thing is used."""


def lru(entry: Evictable, cost: int) -> float:
    """The least recently used goes first."""
    return entry.last


def lfu(entry: Evictable, cost: int) -> float:
    """The least often used goes first, and the least recently used of those."""
    return entry.uses


def replay_cost(entry: Evictable, cost: int) -> float:
    """What is cheapest to compute again goes first, per byte, as all blocks of a cache are of one size.

    Ageing is built in: worth starts from that of what was evicted last, so that each eviction brings what is not used
    nearer to the end, however dear it was. Source: GreedyDual, Young 1991; with sizes: Cao and Irani, Cost-Aware WWW
    Proxy Caching Algorithms, USITS 1997.
    """
    return entry.floor + cost


POLICIES: dict[str, EvictionPolicy] = {"lru": lru, "lfu": lfu, "replay_cost": replay_cost}

E = TypeVar("E", bound=Evictable)


class EvictionQueue(Generic[E]):
    """Entries in the order in which they go: those worth least first, of equals the least recently used.

    A heap, each entry in it at most once, with its worth when it was pushed. Using an entry does not touch the heap:
    one whose worth has risen meanwhile is pushed again when it comes up, so that nothing is ever searched. (One whose
    cost has fallen meanwhile comes up no earlier for it.)
    """

    def __init__(self, policy: EvictionPolicy, cost: Callable[[E], int]) -> None:
        self._policy = policy
        self._cost = cost
        self._heap: list[tuple[float, int, int, E]] = []  # worth, last, which decides between equals, entry
        self._serial = count()
        self._clock = 0
        self._floor = 0.0

    def use(self, entry: E) -> None:
        entry.uses += 1
        self.refresh(entry)

    def refresh(self, entry: E) -> None:
        """Makes the entry as recent as one used now, which does not count as a use."""
        self._clock += 1
        entry.last = self._clock
        entry.floor = self._floor

    def push(self, entry: E) -> None:
        """Adds the entry, unless it is there."""
        if not entry.queued:
            entry.queued = True
            worth = self._policy(entry, self._cost(entry))
            heapq.heappush(self._heap, (worth, entry.last, next(self._serial), entry))

    def pop(self) -> E | None:
        """Removes the entry that goes first; None if there is none."""
        while self._heap:
            worth, last, _, entry = heapq.heappop(self._heap)
            entry.queued = False
            now = self._policy(entry, self._cost(entry))
            if (now, entry.last) <= (worth, last):
                self._floor = max(self._floor, now)
                return entry
            self.push(entry)
        return None

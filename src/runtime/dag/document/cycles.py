"""Cycles in what leads to what."""

from collections.abc import Iterator, Mapping, Sequence


def cycles(leads_to: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Some of the cycles, at least one if there is any, each as what is on it in its order. Does not recurse."""
    done: set[str] = set()
    for start in leads_to:
        way: dict[str, Iterator[str]] = {}  # what we have come by, and where it leads that has not been looked at
        current: str | None = start
        while current is not None and current not in done:
            successors = way.setdefault(current, iter(leads_to.get(current, ())))
            following = next((one for one in successors if one not in done), None)
            if following is None:
                done.add(current)
                way.popitem()
                current = next(reversed(way), None)
            elif following in way:
                nodes = list(way)
                yield nodes[nodes.index(following) :]
            else:
                current = following


def shown(cycle: Sequence[str], most: int = 6) -> str:
    """`a → b → a`, not too long."""
    some = [*cycle[: most - 1], "...", cycle[-1]] if len(cycle) > most else cycle
    return " → ".join([*some, cycle[0]])

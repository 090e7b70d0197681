"""Which nodes can run after which, for any number of questions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from runtime.dag.document.edges import ANYWHERE, Edge

Nodes = int  # a set of nodes: bit i is the i-th path


class Reach:
    """The transitive closure of edges, as sets of bits: a question takes a moment, however large the graph is."""

    def __init__(self, edges: Mapping[str, Sequence[Edge]]) -> None:
        self._paths = tuple(edges)
        self._number = {path: number for number, path in enumerate(self._paths)}
        successors: list[list[int]] = []
        predecessors: list[list[int]] = [[] for _ in self._paths]
        anywhere: list[int] = []  # nodes of which only a run can tell where they lead
        for number, path in enumerate(self._paths):
            targets = [edge.target for edge in edges[path]]
            if ANYWHERE in targets:
                anywhere.append(number)
            successors.append([self._number[target] for target in targets if target in self._number])
            for target in successors[-1]:
                predecessors[target].append(number)
        everything = (1 << len(self._paths)) - 1
        self._after = _closure(successors, dict.fromkeys(anywhere, everything))
        unbound = sum(1 << number for number, after in enumerate(self._after) if after == everything) if anywhere else 0
        self._before = [before | unbound for before in _closure(predecessors, {})]

    def set_of(self, paths: Iterable[str]) -> Nodes:
        """These nodes; paths of none are passed over."""
        nodes = 0
        for path in paths:
            if (number := self._number.get(path)) is not None:
                nodes |= 1 << number
        return nodes

    def after(self, path: str) -> Nodes:
        """What one edge or more lead to."""
        number = self._number.get(path)
        return 0 if number is None else self._after[number]

    def onwards(self, paths: Iterable[str]) -> Nodes:
        """These nodes and all after them."""
        nodes = 0
        for path in paths:
            nodes |= self.set_of([path]) | self.after(path)
        return nodes

    def leads(self, path: str, other: str) -> bool:
        """Whether `other` may run after `path`."""
        return bool(self.after(path) & self.set_of([other]))

    def is_first(self, path: str, queued: Nodes) -> bool:
        """Whether none of the queued nodes leads to this one, other than those that it leads to itself."""
        number = self._number[path]
        return not self._before[number] & queued & ~self._after[number] & ~(1 << number)

    def paths_of(self, nodes: Nodes) -> Iterator[str]:
        while nodes:
            lowest = nodes & -nodes
            yield self._paths[lowest.bit_length() - 1]
            nodes ^= lowest


def _closure(successors: Sequence[Sequence[int]], known: Mapping[int, Nodes]) -> list[Nodes]:
    """For each node, all that it leads to. known: what some lead to besides."""
    reached = [0] * len(successors)
    for component in _components(successors):
        nodes = 0
        for node in component:
            nodes |= known.get(node, 0)
            for successor in successors[node]:
                nodes |= reached[successor] | (1 << successor)
        for node in component:
            reached[node] = nodes
    return reached


def _components(successors: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Strongly connected components, each after all that it leads to (Tarjan 1972, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    todo: list[tuple[int, Iterator[int]]] = []

    def enter(node: int) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        on_stack.add(node)
        todo.append((node, iter(successors[node])))

    for root in range(len(successors)):
        if root not in index:
            enter(root)
        while todo:
            node, rest = todo[-1]
            following = next(rest, None)
            if following is None:
                todo.pop()
                if todo:
                    above = todo[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    component: list[int] = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                    on_stack.difference_update(component)
                    yield component
            elif following not in index:
                enter(following)
            elif following in on_stack:
                low[node] = min(low[node], index[following])

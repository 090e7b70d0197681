"""Where nodes are drawn: groups of boxes, each in layers from top to bottom."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

BOX_WIDTH, BOX_HEIGHT = 168, 42  # pixels, as all that follow
GAP_X, GAP_Y = 26, 40
PADDING, TITLE = 22, 30  # of a group
MARGIN = 24
MOST_IN_ROW = 12  # boxes; a layer of more takes several rows
SHELF = 2400  # groups stand side by side as far as this
SWEEPS = 3

Successors = Mapping[str, Iterable[str]]


class Frame(NamedTuple):
    x: float
    y: float
    width: float
    height: float


@dataclass
class Layout:
    """boxes: left upper corner of each node, all of one size. frames: around the groups."""

    boxes: dict[str, tuple[float, float]] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)
    width: float = 0
    height: float = 0


def lay_out(groups: Mapping[str, Sequence[str]], successors: Successors) -> Layout:
    """groups: title → nodes. Layers are longest paths within a group, where edges that close a circle do not count."""
    layout = Layout()
    x, y, shelf_height = MARGIN, MARGIN, 0
    for title, nodes in groups.items():
        rows = [
            layer[i : i + MOST_IN_ROW] for layer in layers(nodes, successors) for i in range(0, len(layer), MOST_IN_ROW)
        ]
        most = max((len(row) for row in rows), default=0)
        width = 2 * PADDING + max(most * (BOX_WIDTH + GAP_X) - GAP_X, BOX_WIDTH)
        height = PADDING + TITLE + len(rows) * (BOX_HEIGHT + GAP_Y) - GAP_Y
        if x > MARGIN and x + width > SHELF:
            x, y, shelf_height = MARGIN, y + shelf_height + MARGIN, 0
        layout.frames[title] = Frame(x, y, width, height)
        for number, row in enumerate(rows):
            left = x + (width - len(row) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
            top = y + TITLE + number * (BOX_HEIGHT + GAP_Y)
            layout.boxes |= {path: (left + i * (BOX_WIDTH + GAP_X), top) for i, path in enumerate(row)}
        layout.width = max(layout.width, x + width + MARGIN)
        layout.height = max(layout.height, y + height + MARGIN)
        x, shelf_height = x + width + MARGIN, max(shelf_height, height)
    return layout


def layers(nodes: Sequence[str], successors: Successors) -> list[list[str]]:
    """Nodes by layer, in an order that makes few edges cross."""
    order = _topological(nodes, successors)
    position = {path: i for i, path in enumerate(order)}
    forward = {
        path: [target for target in successors.get(path, ()) if position.get(target, -1) > position[path]]
        for path in order
    }
    layer = dict.fromkeys(order, 0)
    backward: dict[str, list[str]] = {path: [] for path in order}
    for path in order:
        for target in forward[path]:
            layer[target] = max(layer[target], layer[path] + 1)
            backward[target].append(path)
    found: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for path in nodes:
        found[layer[path]].append(path)
    return _uncrossed(found, forward, backward)


def _topological(nodes: Sequence[str], successors: Successors) -> list[str]:
    """An order in which all edges lead forwards but those that close a circle."""
    inside, seen, finished = set(nodes), set[str](), list[str]()
    for start in nodes:
        if start in seen:
            continue
        seen.add(start)
        way = [(start, iter(successors.get(start, ())))]
        while way:
            path, targets = way[-1]
            following = next((one for one in targets if one in inside and one not in seen), None)
            if following is None:
                finished.append(path)
                way.pop()
            else:
                seen.add(following)
                way.append((following, iter(successors.get(following, ()))))
    return finished[::-1]


def _uncrossed(
    found: list[list[str]], forward: Mapping[str, Sequence[str]], backward: Mapping[str, Sequence[str]]
) -> list[list[str]]:
    """Each layer ordered by the middles of what its nodes are connected to, downwards and upwards in turn."""
    place = {path: i - len(layer) / 2 for layer in found for i, path in enumerate(layer)}
    for sweep in range(SWEEPS):
        neighbours, way = (backward, found) if sweep % 2 == 0 else (forward, found[::-1])
        for layer in way:
            middles = {path: _middle(path, neighbours[path], place) for path in layer}
            layer.sort(key=middles.__getitem__)
            place |= {path: i - len(layer) / 2 for i, path in enumerate(layer)}
    return found


def _middle(path: str, neighbours: Sequence[str], place: Mapping[str, float]) -> float:
    return sum(place[one] for one in neighbours) / len(neighbours) if neighbours else place[path]

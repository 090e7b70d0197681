"""Pieces of a drawing: boxes of nodes, edges, frames of groups. All texts are escaped here."""

from html import escape

from runtime.dag.document.edges import EdgeKind
from runtime.dag.document.labels import cut, detail, kind, name
from runtime.dag.document.layout import BOX_HEIGHT, BOX_WIDTH, GAP_Y, Frame
from runtime.dag.document.node import Assert, End, Fork, Join, Node, Start

Point = tuple[float, float]

STATUSES = ("success", "failed", "skipped", "cancelled", "running")
STYLE = """<style>
svg.dag { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
svg.dag text { fill: #1c1e21; fill: var(--text, #1c1e21); }
svg.dag .small { fill: #6c7078; fill: var(--muted, #6c7078); font-size: 10.5px; }
svg.dag .frame { fill: none; stroke: #c9c9c2; stroke: var(--line, #c9c9c2); }
svg.dag .shape { fill: #fff; fill: var(--panel, #fff); stroke-width: 1.6; }
svg.dag .shape { stroke: #7d8590; stroke: var(--flow, #7d8590); }
svg.dag .inference .shape { stroke: #6a58d6; stroke: var(--inference, #6a58d6); }
svg.dag .tool .shape { stroke: #12908a; stroke: var(--tool, #12908a); }
svg.dag .generate .shape { stroke: #c7761b; stroke: var(--generate, #c7761b); }
svg.dag .assign .shape { stroke: #4a86c9; stroke: var(--assign, #4a86c9); }
svg.dag .assert .shape { stroke: #b8488f; stroke: var(--assert, #b8488f); }
svg.dag .idle text { opacity: .55; }
svg.dag .idle .shape { stroke-opacity: .45; }
svg.dag .success .shape, svg.dag .running .shape { stroke-width: 2.6; }
svg.dag .failed .shape { stroke: #cf3535; stroke: var(--failed, #cf3535); stroke-width: 3.2; }
svg.dag .skipped .shape, svg.dag .cancelled .shape { stroke-dasharray: 4 3; }
svg.dag .edge { fill: none; stroke: #8b929b; stroke-width: 1.2; }
svg.dag .edge.branch { stroke: #6a58d6; stroke-width: 2; }
svg.dag .edge.call { stroke: #12908a; }
svg.dag .edge.error, svg.dag .edge.failure { stroke: #cf3535; stroke-dasharray: 5 3; }
svg.dag .edge.wait { stroke-dasharray: 1.5 3; }
svg.dag marker path { fill: context-stroke; }
</style>"""
ARROW = (
    '<defs><marker id="dag-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5 8 4 0 7.5z"/></marker></defs>'
)


def document(width: float, height: float, pieces: list[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="dag" role="img" {size}>'
    return "\n".join([head, STYLE, ARROW, *pieces, "</svg>"])


def frame(title: str, place: Frame) -> str:
    size = f'x="{place.x:g}" y="{place.y:g}" width="{place.width:g}" height="{place.height:g}" rx="8"'
    text = f'<text class="small" x="{place.x + 12:g}" y="{place.y + 18:g}">{escape(cut(title, 60))}</text>'
    return f'<g><title>{escape(cut(title, 600))}</title><rect class="frame" {size}/>{text}</g>'


def node(drawn: Node, at: Point, status: str | None) -> str:
    """status: of the node in a run, "idle" if it has not run; None: there was no run."""
    classes = " ".join(["node", kind(drawn), *([status] if status in (*STATUSES, "idle") else [])])
    x, y = at
    what = cut(f"{drawn.type or 'contract'} {detail(drawn)}", 30)
    middle = x + BOX_WIDTH / 2
    return (
        f'<g data-node="{escape(drawn.path)}" class="{classes}">'
        f"<title>{escape(cut(f'{drawn.path}: {drawn.type}', 600))}</title>"
        f'<path class="shape" d="{_outline(drawn, x, y)}"/>'
        f'<text x="{middle:g}" y="{y + 18:g}" text-anchor="middle">{escape(cut(name(drawn.path), 24))}</text>'
        f'<text class="small" x="{middle:g}" y="{y + 33:g}" text-anchor="middle">{escape(what)}</text></g>'
    )


def edge(kind: EdgeKind, start: Point, end: Point) -> str:
    """From the lower side of a box to the upper side of another. Upwards, and past other boxes, it goes around them."""
    (x1, y1), (x2, y2) = start, end
    down = y2 - y1
    bend = max(GAP_Y * 0.6, min(abs(down) / 2, 90))
    aside = 0.0 if 0 < down <= GAP_Y or abs(x1 - x2) > BOX_WIDTH else BOX_WIDTH * 0.65
    way = f"M{x1:g} {y1:g}C{x1 + aside:g} {y1 + bend:g} {x2 + aside:g} {y2 - bend:g} {x2:g} {y2 - 1:g}"
    return f'<path class="edge {kind}" d="{way}" marker-end="url(#dag-arrow)"/>'


def anywhere(kind: EdgeKind, start: Point) -> str:
    """An edge whose target only a run can tell."""
    x, y = start
    return (
        f'<path class="edge {kind}" d="M{x:g} {y:g}v16" marker-end="url(#dag-arrow)"/>'
        f'<text class="small" x="{x + 6:g}" y="{y + 15:g}">?</text>'
    )


def _outline(drawn: Node, x: float, y: float) -> str:
    """Beginnings and ends are round, assertions pointed, forks open downwards and joins upwards."""
    w, h = BOX_WIDTH, BOX_HEIGHT
    match drawn.body:
        case Assert():
            return f"M{x + 14} {y}h{w - 28}l14 {h / 2}l-14 {h / 2}h{28 - w}l-14 {-h / 2}z"
        case Fork():
            return f"M{x + 14} {y}h{w - 28}l14 {h}h{-w}z"
        case Join():
            return f"M{x} {y}h{w}l-14 {h}h{28 - w}z"
        case Start() | End():
            return _rounded(x, y, h / 2)
        case _:
            return _rounded(x, y, 5)


def _rounded(x: float, y: float, r: float) -> str:
    w, h = BOX_WIDTH - 2 * r, BOX_HEIGHT - 2 * r
    a = f"a{r:g} {r:g} 0 0 1"
    return (
        f"M{x + r:g} {y:g}h{w:g}{a} {r:g} {r:g}v{h:g}{a} {-r:g} {r:g}h{-w:g}{a} {-r:g} {-r:g}v{-h:g}{a} {r:g} {-r:g}z"
    )

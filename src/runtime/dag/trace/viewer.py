"""A trace as one page to look at: the graph, who ran when in which batch, memory, and what each node did."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from runtime.dag.json_value import Json
from runtime.dag.trace.record import MemorySample, TraceRecord
from runtime.dag.trace.trace_writer import as_json
from runtime.errors import UserError


def write_view(
    path: Path, title: str, document_svg: str, records: Sequence[TraceRecord], memory: Sequence[MemorySample]
) -> None:
    """One HTML file that needs nothing else. document_svg: of `draw_svg`; its `data-node` groups are what is clicked.
    `#node=<path>` behind the file's address shows a node at once, `#record=<number>` a record. Raises UserError if the
    file cannot be written."""
    page = view(title, document_svg, records, memory)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page.encode("utf-8", "replace"))
    except OSError as error:
        raise UserError(f"cannot write the view {path}: {error.strerror}") from error


def view(title: str, document_svg: str, records: Sequence[TraceRecord], memory: Sequence[MemorySample]) -> str:
    folder = files("runtime.dag.trace")
    script = (folder / "view.js").read_text(encoding="utf-8")
    samples = [[s.time, s.step, s.held, s.cached, s.free, s.requests] for s in memory]
    parts = {
        "title": html.escape(title),
        "policy": _policy(script),
        "style": (folder / "view.css").read_text(encoding="utf-8"),
        "graph": document_svg,
        "data": _in_script({"records": [as_json(record) for record in records], "memory": samples}),
        "script": script,
    }
    page = (folder / "view.html").read_text(encoding="utf-8")
    pieces = page.split("%%")  # text, name, text, name, ..., text: what is put in is not looked at again
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))


def _policy(script: str) -> str:
    """The browser runs this one script, whatever a document has smuggled into its texts, and loads nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _in_script(value: Json) -> str:
    """JSON in which no text can end the element that it stands in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")

"""A document from text: find blocks, read their YAML, read nodes."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from runtime.dag.contract.capability import ResourceEntry
from runtime.dag.document.blocks import Block, Blocks, Level, find_blocks
from runtime.dag.document.document import Document, Meta
from runtime.dag.document.fields import Fields, Home, Problems
from runtime.dag.document.graph_reader import read_graph
from runtime.dag.document.meta_reader import MOST_DECLARED, declared, read_meta, read_resources
from runtime.dag.document.node import Graph
from runtime.dag.document.path import parse_block_path
from runtime.dag.document.yaml_reader import MOST_VALUES, YamlError, read_yaml
from runtime.dag.errors import Code, Problem
from runtime.dag.json_value import Json
from runtime.errors import UserError

MOST_BYTES = 1 << 20
MOST_NODES = 10_000
META, RESOURCES = "/__meta__", "/__meta__/resources"


def read_document(path: Path, level: Level = "tolerant") -> Document:
    """The document in a file. Raises UserError if it cannot be read; what is wrong in it is in its `problems`."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        if error.start < MOST_BYTES - 3:
            raise UserError(f"{path} is no text in UTF-8: byte {error.start} is wrong") from None
        text = " " * (MOST_BYTES + 1)  # cut in the middle of a character: too long in any case
    return parse_document(text, str(path), level)


def parse_document(text: str, file: str = "", level: Level = "tolerant") -> Document:
    """The document that a text is. Never raises: what is wrong is in its `problems`, and the rest is read.

    level: "strict" takes blocks in the form for files only, "tolerant" also those that models write (see `blocks`).
    """
    problems = Problems(file)
    if len(text) > MOST_BYTES:
        problems.add(Problem(Code.INVALID_INPUT, f"a document may have {MOST_BYTES // 1024} KiB; split it"))
        return Document(Meta(), (), (), file, (), tuple(problems.found))
    blocks = find_blocks(text, level)
    for fault in blocks.faults:
        problems.add(Problem(Code.SYNTAX, f"the block {fault.path[:80]!r} {fault.text}", line=fault.line))
    intents = tuple(_intent(intent, line, problems) for intent, line in blocks.intents)
    content = _Content(problems, repairs=level == "tolerant")
    content.read(blocks)
    graphs = _unique(content.graphs, content.meta.is_strict, problems)
    found = tuple(sorted(problems.found, key=lambda problem: problem.line))
    return Document(content.meta, tuple(content.resources), graphs, file, intents, found)


class _Content:
    """What has been read of a file so far."""

    def __init__(self, problems: Problems, *, repairs: bool) -> None:
        self.meta = Meta()
        self.resources: list[ResourceEntry] = []
        self.graphs: list[Graph] = []
        self._problems = problems
        self._repairs = repairs
        self._nodes_left = MOST_NODES
        self._values_left = MOST_VALUES

    def read(self, blocks: Blocks) -> None:
        placed = [(path, block) for block in blocks.blocks if (path := self._path(block))]
        if len(placed) > MOST_NODES:
            self._fault(f"a document may have {MOST_NODES} blocks; this one has {len(placed)}", "", 0)
            return
        paths = frozenset(path for path, _ in placed)
        for path, block in placed:
            if not self._read_block(path, block, paths):
                return

    def _fault(self, text: str, path: str, line: int, code: Code = Code.SYNTAX, is_error: bool = True) -> None:
        self._problems.add(Problem(code, text, "", path, "", line, is_error))

    def _path(self, block: Block) -> str | None:
        try:
            return parse_block_path(block.path.strip())
        except ValueError as error:
            self._fault(str(error), "", block.line)
            return None

    def _read_block(self, path: str, block: Block, paths: frozenset[str]) -> bool:
        """Whether there is room for more."""
        try:
            yaml = read_yaml(block.text, block.first_line, repairs=self._repairs, most_values=self._values_left)
        except YamlError as error:
            self._fault(str(error), path, error.line)
            return not error.is_limit
        self._values_left -= yaml.values
        if not isinstance(yaml.value, dict):
            self._fault("its YAML is no object: write `key: value` lines", path, block.line)
            return True
        yaml.lines[()] = block.line
        fields = Fields(yaml, yaml.value, (), Home(path, paths, path), self._problems)
        if path == META:
            self._take_meta(fields, block)
        elif path == RESOURCES or fields.raw("type") == "resource_declare":
            self._take_resources(fields, path)
        elif path.startswith(META + "/"):
            self._fault(f"only {RESOURCES} may be under {META}", path, block.line, Code.NAMESPACE_VIOLATION)
        else:
            graph = read_graph(fields, path, self._nodes_left)
            if graph is not None:
                self.graphs.append(replace(graph, file=self._problems.file))
                self._nodes_left -= len(graph.nodes)
        return True

    def _take_meta(self, fields: Fields, block: Block) -> None:
        before, self.meta = self.meta, read_meta(fields)
        if before.line:
            text = f"a document has one {META}; that in line {before.line} is replaced"
            self._fault(text, META, block.line, Code.INVALID_INPUT, self.meta.is_strict)

    def _take_resources(self, fields: Fields, path: str) -> None:
        if path != RESOURCES:
            fields.fault("", f"resources are declared in the block {RESOURCES}", is_error=False)
        self.resources.extend(read_resources(fields, MOST_DECLARED - declared(self.resources)))


def _intent(text: str, line: int, problems: Problems) -> Json:
    """What an LLM_INTENT comment says: JSON, or else the text."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        problems.add(Problem(Code.SYNTAX, "LLM_INTENT is no JSON; it is kept as a text", line=line, is_error=False))
        return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _unique(graphs: Iterable[Graph], is_strict: bool, problems: Problems) -> tuple[Graph, ...]:
    """Of several graphs or nodes of the same path the last."""
    seen: dict[str, int] = {}  # path of a graph or node → line
    kept: list[Graph] = []

    def is_first(path: str, line: int, block: str) -> bool:
        if path not in seen:
            seen[path] = line
            return True
        text = f"{path} is defined again in line {seen[path]}, which replaces this"
        problems.add(Problem(Code.INVALID_INPUT, text, "", block, "", line, is_strict))
        return False

    paths: set[str] = set()
    for graph in reversed(list(graphs)):
        if graph.path in paths:
            is_first(graph.path, graph.line, graph.path)
            continue
        paths.add(graph.path)
        seen.setdefault(graph.path, graph.line)
        is_alone = graph.nodes[0].path == graph.path
        nodes = (
            graph.nodes
            if is_alone
            else tuple(node for node in reversed(graph.nodes) if is_first(node.path, node.line, graph.path))[::-1]
        )
        if nodes:
            kept.append(replace(graph, nodes=nodes))
    return tuple(reversed(kept))

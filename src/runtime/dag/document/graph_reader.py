"""A graph from the fields of its block: a subgraph, or a node that is alone."""

from dataclasses import replace

from runtime.dag.contract.read_signature import read_signature
from runtime.dag.contract.signature import Signature
from runtime.dag.document.fields import Fields, Home
from runtime.dag.document.node import Graph, Node, Requirement, Unsupported
from runtime.dag.document.node_reader import read_budget, read_merge_policy, read_node, read_permission_list
from runtime.dag.document.path import SEGMENT, split_version
from runtime.dag.errors import Code
from runtime.dag.json_value import Json

GRAPH_FIELDS = (
    "graph_type", "type", "nodes", "entry", "metadata", "signature", "permissions", "requires", "version", "stability",
    "context_merge_policy", "execution_budget", "on_error", "name", "description",
)  # fmt: skip
SUBGRAPH = "subgraph"


def read_graph(fields: Fields, path: str, most_nodes: int) -> Graph | None:
    """The graph of the block `path`; None if there is none, which is noted. most_nodes: more are refused."""
    if "nodes" in fields or str(fields.raw("graph_type") or "").lower() == SUBGRAPH:
        return _read_subgraph(fields, path, most_nodes)
    parent = split_version(path)[0].rpartition("/")[0]
    alone = replace(fields, home=replace(fields.home, graph_path=parent))
    if "type" in fields:
        node = read_node(alone, path)
    else:
        text = "has neither `type` nor `nodes`: a contract that nothing implements"
        fields.fault("", text, Code.UNSUPPORTED_CAPABILITY, is_error=False)
        line = fields.yaml.line()
        node = Node(path, "", Unsupported("its block has neither `type` nor `nodes`"), line=line)
    return Graph(
        path,
        (node,),
        signature=read_block_signature(fields),
        permissions=node.permissions,
        requires=_requirements(fields),
        budget=node.budget,
        metadata=node.metadata,
        line=node.line,
    )


def _read_subgraph(fields: Fields, path: str, most_nodes: int) -> Graph | None:
    home = Home(path, fields.home.blocks, fields.home.block)
    fields = replace(fields, home=home)
    fields.warn_of_typos(GRAPH_FIELDS)
    items = fields.raw("nodes")
    if not isinstance(items, list) or not items:
        fields.fault("nodes" if items is not None else "", "has to be a list of nodes" if items else "has no nodes")
        return None
    if len(items) > most_nodes:
        fields.fault("nodes", f"has {len(items)} nodes where {most_nodes} may still be")
        return None
    nodes = tuple(node for index, item in enumerate(items) if (node := _inner_node(fields, path, index, item)))
    entry = fields.reference("entry")
    if not nodes:
        return None
    return Graph(
        path,
        nodes,
        entry=str(entry) if entry else None,
        signature=read_block_signature(fields),
        permissions=read_permission_list(fields),
        requires=_requirements(fields),
        context_merge_policy=read_merge_policy(fields),
        budget=read_budget(fields),
        metadata=fields.object("metadata"),
        on_error=fields.reference("on_error"),
        line=fields.yaml.line(),
    )


def _inner_node(fields: Fields, path: str, index: int, item: Json) -> Node | None:
    place = ("nodes", index)
    if not isinstance(item, dict):
        fields.fault(
            "nodes", f"has an item, number {index + 1}, that is no node: it has to be an object with id and type"
        )
        return None
    inner = replace(fields, value=item, place=place)
    node_id = str(item.get("id", "")).strip()
    if isinstance(item.get("id"), dict | list) or not SEGMENT.fullmatch(node_id) or len(node_id) > 128:
        shown = f"is {node_id[:80]!r}" if node_id else "is missing"
        inner.fault("", f"the `id` of node {index + 1} {shown}; it can have letters, digits, _ and -")
        return None
    return read_node(inner, f"{path}/{node_id}")


def read_block_signature(fields: Fields) -> Signature | None:
    """`signature`, whose version and stability may stand beside it."""
    signature: Signature | None = fields.read("signature", read_signature, None, Code.SIGNATURE_VIOLATION)
    if signature is None:
        return None
    return replace(
        signature,
        version=signature.version or fields.text("version") or None,
        stability=signature.stability or fields.text("stability") or None,
    )


def _requirements(fields: Fields) -> tuple[Requirement, ...]:
    """A list of {lib: path@range} and {tool: name}; a path alone is a lib."""

    def requirement(item: Json) -> Requirement:
        if isinstance(item, str) and item.startswith("/"):
            return Requirement("lib", str(fields.refer(item)))
        if isinstance(item, dict) and isinstance(item.get("lib"), str):
            return Requirement("lib", str(fields.refer(item["lib"])))
        if isinstance(item, dict) and isinstance(item.get("tool"), str):
            return Requirement("tool", item["tool"].strip())
        raise ValueError('has an item that is neither `lib: "/lib/x@^1.0"` nor `tool: "name"`')

    def requirements(value: Json) -> tuple[Requirement, ...]:
        return tuple(map(requirement, value if isinstance(value, list) else [value]))

    return fields.read("requires", requirements, ())

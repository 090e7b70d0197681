"""Which fields of the context a template may look at."""

from collections.abc import Iterable, Sequence

from jinja2 import nodes

from runtime.dag.template.allowed import ROOT, as_call, is_root, target_names
from runtime.dag.template.functions import EXISTS


def fields_read(body: Sequence[nodes.Node]) -> frozenset[str] | None:
    """Names at the top of the context, None for any. Names that only variables of the template have are left out."""
    try:
        return frozenset(_of_body(body, frozenset()))
    except _AnyField:
        return None


class _AnyField(Exception):
    pass


def _of_body(body: Sequence[nodes.Node], bound: frozenset[str]) -> Iterable[str]:
    """bound: names that surely are variables here."""
    for node in body:
        if isinstance(node, nodes.If):
            for branch in (node, *node.elif_):
                yield from _of_expression(branch.test, bound)
                yield from _of_body(branch.body, bound)
            yield from _of_body(node.else_, bound)
        elif isinstance(node, nodes.For):
            inside = bound | set(target_names(node.target))
            yield from _of_expression(node.iter, bound)
            if node.test is not None:
                yield from _of_expression(node.test, inside)
            yield from _of_body(node.body, inside | {"loop"})
            yield from _of_body(node.else_, bound)
        elif isinstance(node, nodes.Assign):
            yield from _of_expression(node.node, bound)
            bound |= set(target_names(node.target))
        elif isinstance(node, nodes.AssignBlock):
            yield from _of_body(node.body, bound)
            bound |= set(target_names(node.target))
        else:
            yield from _of_expression(node, bound)


def _of_expression(node: nodes.Node, bound: frozenset[str]) -> Iterable[str]:
    """Iterative: expressions may be deep."""
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, nodes.Name):
            if each.name == ROOT:
                raise _AnyField
            if each.name not in bound:
                yield each.name
            continue
        if isinstance(each, nodes.Getattr | nodes.Getitem) and is_root(each.node):
            yield _field(each)
            continue
        if isinstance(each, nodes.Call | nodes.Filter):
            call = as_call(each)
            todo += [*call.values, *call.keywords.values()]
            if call.function is None and call.name == EXISTS:
                yield _top(call.values[0])
            continue
        todo += each.iter_child_nodes()


def _field(node: nodes.Getattr | nodes.Getitem) -> str:
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        return node.arg.value
    raise _AnyField


def _top(path: nodes.Expr) -> str:
    if isinstance(path, nodes.Const) and isinstance(path.value, str):
        return path.value.removeprefix(f"{ROOT}.").split(".")[0]
    raise _AnyField

"""All that a template can give, where that can be told without running it."""

from functools import lru_cache

from jinja2 import nodes

from runtime.dag.template.meter import TemplateFault
from runtime.dag.template.syntax import parse

_MOST = 64  # texts


@lru_cache(maxsize=4096)
def outcomes(text: str) -> frozenset[str] | None:
    """The texts that a template of one whole expression chooses from, alone or in lists; None if it makes others.

    >>> sorted(outcomes("{{ 'a' if $.x else ['b', 'c'] }}"))
    ['a', 'b', 'c']
    """
    if not any(sign in text for sign in "'\"[("):  # it chooses from nothing
        return None
    try:
        todo: list[nodes.Node | None] = [parse(text).whole]
    except TemplateFault:
        return None
    found: set[str] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, nodes.Const) and (node.value is None or isinstance(node.value, str)):
            found |= {node.value} if node.value else set()
        elif isinstance(node, nodes.CondExpr):
            todo += [node.expr1, node.expr2 or nodes.Const(None)]
        elif isinstance(node, nodes.Or):
            todo += [node.left, node.right]
        elif isinstance(node, nodes.List | nodes.Tuple):
            todo += node.items
        else:
            return None
    return frozenset(found) if len(found) <= _MOST else None

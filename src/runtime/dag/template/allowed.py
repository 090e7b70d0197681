"""What may stand in a template."""

from difflib import get_close_matches
from typing import NamedTuple

from jinja2 import nodes

from runtime.dag.json_value import Json
from runtime.dag.template.functions import DEFAULT, EXISTS, FUNCTIONS, METHODS, TESTS, Function, misuse
from runtime.dag.template.meter import TemplateFault
from runtime.dag.template.operators import checked_number
from runtime.dag.template.values import is_number, shown

ROOT = "$"  # the context's root, a name in trees
DEFAULT_PARAMETERS = ("value", "default_value", "boolean")  # Jinja's names

_STATEMENTS = (nodes.Output, nodes.If, nodes.For, nodes.Assign, nodes.AssignBlock)
_OPERATORS = (nodes.BinExpr, nodes.UnaryExpr, nodes.Compare, nodes.Operand, nodes.Concat, nodes.CondExpr)
_PARTS = (nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword)
_HARMLESS = (*_STATEMENTS, *_OPERATORS, *_PARTS, nodes.TemplateData, nodes.Name)


class Call(NamedTuple):
    """`name(*values)`, however it is written. function: None if `name` looks up its first value itself."""

    name: str
    function: Function | None
    values: list[nodes.Expr]
    keywords: dict[str, nodes.Node]


def as_call(node: nodes.Call | nodes.Filter | nodes.Test) -> Call:
    """Raises TemplateFault if there is no such function."""
    values = list(node.args)
    keywords: dict[str, nodes.Node] = {str(keyword.key): keyword.value for keyword in node.kwargs}
    if isinstance(node, nodes.Test):
        looks_up = node.name in ("defined", "undefined")
        return Call(node.name, None if looks_up else _known(TESTS, node.name, "test"), [node.node, *values], keywords)
    if isinstance(node, nodes.Filter):
        if node.node is None:
            raise TemplateFault("a block with a filter is not allowed; pipe the value")
        name, values = node.name, [node.node, *values]
    elif isinstance(node.node, nodes.Name):
        name = node.node.name
    elif isinstance(node.node, nodes.Getattr):
        method = _known(METHODS, node.node.attr, "method")
        return Call(node.node.attr, method, [node.node.node, *values], keywords)
    else:
        raise TemplateFault("only functions can be called")
    looks_up = name in DEFAULT or name == EXISTS
    return Call(name, None if looks_up else _known(FUNCTIONS, name, "function"), values, keywords)


def is_root(node: nodes.Node) -> bool:
    """Whether it is `$` itself."""
    return isinstance(node, nodes.Name) and node.name == ROOT


def check_node(node: nodes.Node) -> None:
    """Raises TemplateFault if the node itself, not those in it, is not allowed."""
    if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
        _check_call(node)
    elif isinstance(node, nodes.Const):
        _check_literal(node.value)
    elif not isinstance(node, _HARMLESS):
        raise TemplateFault(f"`{type(node).__name__.lower()}` is not allowed in templates")
    elif isinstance(node, nodes.For):
        if node.recursive:
            raise TemplateFault("a recursive `for` is not allowed in templates")
        target_names(node.target)
    elif isinstance(node, nodes.Assign):
        target_names(node.target)
    elif isinstance(node, nodes.AssignBlock):
        if node.filter is not None:
            raise TemplateFault("a block with a filter is not allowed; pipe the value")
        target_names(node.target)


def target_names(target: nodes.Node) -> list[str]:
    """The names that a `set` or a `for` gives values to. Raises TemplateFault for other targets."""
    names = target.items if isinstance(target, nodes.Tuple) else [target]
    found = [name.name for name in names if isinstance(name, nodes.Name) and name.name != ROOT]
    if len(found) < len(names):
        raise TemplateFault("`set` and `for` give values to names only; `assign` writes the context")
    return found


def _check_call(node: nodes.Call | nodes.Filter | nodes.Test) -> None:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateFault("`*` and `**` are not allowed in calls")
    call = as_call(node)
    if call.function is not None:
        wrong = misuse(call.function, len(call.values), set(call.keywords))
    elif call.name in DEFAULT:
        free = DEFAULT_PARAMETERS[len(call.values) :]
        known = call.values and call.keywords.keys() <= set(free) and len(call.values) <= len(DEFAULT_PARAMETERS)
        wrong = None if known else "it takes a value, what stands for a missing one, and no more"
    else:
        wrong = None if len(call.values) == 1 and not call.keywords else "it takes one value"
    if wrong:
        raise TemplateFault(f"{call.name}: {wrong}")


def _check_literal(value: Json) -> None:
    if is_number(value):
        checked_number(value)
    elif isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise TemplateFault("a text has half a character: surrogates are no text") from error


def _known(functions: dict[str, Function], name: str, what: str) -> Function:
    if name not in functions:
        close = get_close_matches(name[:40], functions, 1)
        raise TemplateFault(f"there is no {what} {shown(name)}{f'; is it {close[0]!r}?' if close else ''}")
    return functions[name]

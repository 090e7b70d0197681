"""Gives the values of expressions. Only JSON is ever within reach: there are no attributes of Python objects."""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from runtime.dag.json_value import Json, JsonObject
from runtime.dag.template import operators
from runtime.dag.template.allowed import DEFAULT_PARAMETERS, ROOT, as_call, is_root
from runtime.dag.template.functions import DEFAULT, EXISTS
from runtime.dag.template.meter import Meter, TemplateFault
from runtime.dag.template.values import MISSING, as_integer, as_number, as_text, in_text, kind, member, shown


class Expressions:
    """Expressions over a view of the context. variables: what `set` and `for` have given names to."""

    def __init__(self, view: Mapping[str, Json], meter: Meter) -> None:
        self.variables: JsonObject = {}
        self.meter = meter
        self._view = view

    def value(self, node: nodes.Node) -> Json:
        """Raises TemplateFault where something is missing or is not what an operator needs."""
        found = self.look_up(node)
        if found is MISSING:
            raise TemplateFault(f"there is no {_path(node)}; where it may be missing, use default({_path(node)}, ...)")
        return found

    def look_up(self, node: nodes.Node) -> Json:
        """Like `value`, but MISSING for a name or a member that is missing."""
        self.meter.spend()
        return _RULES[type(node)](self, node)

    def find(self, path: str) -> Json:
        """The value at "a.b.0", MISSING if there is none."""
        top, *parts = path.removeprefix(f"{ROOT}.").split(".")
        found = self._view.get(top, MISSING)
        for part in parts:
            self.meter.spend()
            is_index = isinstance(found, list) and part.isdecimal() and len(part) < 10
            found = member(found, int(part) if is_index else part)
        return found

    def _name(self, node: nodes.Name) -> Json:
        if node.name in self.variables:
            return self.variables[node.name]
        if node.name == ROOT:
            return self._view if isinstance(self._view, dict) else dict(self._view)
        return self._view.get(node.name, None if node.name == "null" else MISSING)

    def _getattr(self, node: nodes.Getattr) -> Json:
        if is_root(node.node):
            return self._view.get(node.attr, MISSING)
        return member(self.look_up(node.node), node.attr)

    def _getitem(self, node: nodes.Getitem) -> Json:
        if is_root(node.node) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            return self._view.get(node.arg.value, MISSING)
        container = self.look_up(node.node)
        if container is MISSING:
            return MISSING
        if not isinstance(node.arg, nodes.Slice):
            return member(container, self.value(node.arg))
        if not isinstance(container, list | str):
            raise TemplateFault(f"a slice needs a list or a text, not {kind(container)}")
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        part = slice(*(None if bound is None else as_integer(self.value(bound), "a slice") for bound in bounds))
        count = len(range(*part.indices(len(container))))
        self.meter.build(count) if isinstance(container, str) else self.meter.spend(count)
        return container[part]

    def _call(self, node: nodes.Call | nodes.Filter | nodes.Test) -> Json:
        call = as_call(node)
        if call.function is not None:
            values = [self.value(each) for each in call.values]
            keywords = {name: self.value(each) for name, each in call.keywords.items()}
            return call.function(self.meter, *values, **keywords)
        if call.name == EXISTS:
            return self.find(as_text(self.value(call.values[0]), EXISTS)) is not MISSING
        found = self.look_up(call.values[0])
        if call.name not in DEFAULT:
            return (found is not MISSING) == (call.name == "defined")
        given: dict[str, nodes.Node] = {**dict(zip(DEFAULT_PARAMETERS, call.values, strict=False)), **call.keywords}
        if found is MISSING or (not found and "boolean" in given and self.value(given["boolean"])):
            return self.value(given["default_value"]) if "default_value" in given else ""
        return found

    def _condition(self, node: nodes.CondExpr) -> Json:
        if self.value(node.test):
            return self.value(node.expr1)
        return None if node.expr2 is None else self.value(node.expr2)

    def _compare(self, node: nodes.Compare) -> bool:
        left = self.value(node.expr)
        for operand in node.ops:
            right = self.value(operand.expr)
            if not operators.compare(operand.op, left, right, self.meter):
                return False
            left = right
        return True

    def _concatenate(self, node: nodes.Concat) -> str:
        parts = [in_text(self.value(part), self.meter) for part in node.nodes]
        self.meter.build(sum(map(len, parts)))
        return "".join(parts)

    def _list(self, node: nodes.List | nodes.Tuple) -> list[Json]:
        return [self.value(item) for item in node.items]

    def _dict(self, node: nodes.Dict) -> JsonObject:
        return {as_text(self.value(pair.key), "a key"): self.value(pair.value) for pair in node.items}


def _path(node: nodes.Node) -> str:
    """How a template writes it, for messages."""
    if isinstance(node, nodes.Name):
        return node.name if len(node.name) <= 60 else node.name[:57] + "..."
    if isinstance(node, nodes.Getattr):
        return f"{_path(node.node)}.{node.attr[:60]}"
    if isinstance(node, nodes.Getitem):
        index = shown(node.arg.value) if isinstance(node.arg, nodes.Const) else "..."
        return f"{_path(node.node)}[{index}]"
    return "(...)"


def _binary(operator: Callable[[Json, Json, Meter], Json]) -> Callable[[Expressions, Any], Json]:
    return lambda self, node: operator(self.value(node.left), self.value(node.right), self.meter)


_RULES: dict[type[nodes.Node], Callable[[Expressions, Any], Json]] = {
    nodes.Add: _binary(operators.add),
    nodes.And: lambda self, node: self.value(node.left) and self.value(node.right),
    nodes.Call: Expressions._call,
    nodes.Compare: Expressions._compare,
    nodes.Concat: Expressions._concatenate,
    nodes.CondExpr: Expressions._condition,
    nodes.Const: lambda self, node: node.value,
    nodes.Dict: Expressions._dict,
    nodes.Div: _binary(operators.divide),
    nodes.Filter: Expressions._call,
    nodes.FloorDiv: _binary(operators.divide_whole),
    nodes.Getattr: Expressions._getattr,
    nodes.Getitem: Expressions._getitem,
    nodes.List: Expressions._list,
    nodes.Mod: _binary(operators.remainder),
    nodes.Mul: _binary(operators.multiply),
    nodes.Name: Expressions._name,
    nodes.Neg: lambda self, node: -as_number(self.value(node.node), "`-`"),
    nodes.Not: lambda self, node: not self.value(node.node),
    nodes.Or: lambda self, node: self.value(node.left) or self.value(node.right),
    nodes.Pos: lambda self, node: as_number(self.value(node.node), "`+`"),
    nodes.Pow: _binary(operators.power),
    nodes.Sub: _binary(operators.subtract),
    nodes.Test: Expressions._call,
    nodes.Tuple: Expressions._list,
}

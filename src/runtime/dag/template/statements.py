"""Runs the statements of a template."""

from collections.abc import Sequence

from jinja2 import nodes

from runtime.dag.json_value import Json, JsonObject
from runtime.dag.template.allowed import target_names
from runtime.dag.template.expressions import Expressions
from runtime.dag.template.list_functions import items, keys
from runtime.dag.template.meter import TemplateFault, TextBuilder
from runtime.dag.template.values import MISSING, as_list, in_text, kind

_LOOP = "loop"
_STEPS_OF_A_ROUND = 3


def run(body: Sequence[nodes.Node], expressions: Expressions, out: TextBuilder) -> None:
    """Adds what the statements write to `out`. Raises TemplateFault."""
    for node in body:
        expressions.meter.spend()
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                if isinstance(part, nodes.TemplateData):
                    out.add(part.data)
                else:
                    out.add(in_text(_value(part, expressions), expressions.meter))
        elif isinstance(node, nodes.If):
            run(_branch(node, expressions), expressions, out)
        elif isinstance(node, nodes.For):
            _loop(node, expressions, out)
        elif isinstance(node, nodes.Assign):
            _give(node.target, _value(node.node, expressions), expressions.variables)
        elif isinstance(node, nodes.AssignBlock):
            text = TextBuilder(expressions.meter)
            run(node.body, expressions, text)
            _give(node.target, text.text(), expressions.variables)


def _value(node: nodes.Node, expressions: Expressions) -> Json:
    try:
        return expressions.value(node)
    except (ValueError, ArithmeticError) as error:
        raise TemplateFault(f"line {node.lineno}: {error}") from error


def _branch(node: nodes.If, expressions: Expressions) -> list[nodes.Node]:
    for branch in (node, *node.elif_):
        if _value(branch.test, expressions):
            return branch.body
    return node.else_


def _loop(node: nodes.For, expressions: Expressions, out: TextBuilder) -> None:
    """As Inja does it: `loop.index` counts from 0; what `set` changes stays changed behind the loop."""
    variables = expressions.variables
    names = [*target_names(node.target), _LOOP]
    hidden = {name: variables.get(name, MISSING) for name in names}
    chosen = _items(node, expressions)
    if (test := node.test) is not None:
        chosen = [item for item in chosen if _passes(node.target, item, test, expressions)]
    for i, item in enumerate(chosen):
        expressions.meter.spend(_STEPS_OF_A_ROUND)
        _give(node.target, item, variables)
        variables[_LOOP] = _loop_facts(i, len(chosen), hidden[_LOOP])
        run(node.body, expressions, out)
    for name, value in hidden.items():
        if value is MISSING:
            variables.pop(name, None)
        else:
            variables[name] = value
    if not chosen:
        run(node.else_, expressions, out)


def _items(node: nodes.For, expressions: Expressions) -> list[Json]:
    """Of an object: [key, value] for `k, v in`, else its keys; in the order of its keys."""
    value = _value(node.iter, expressions)
    if isinstance(value, dict):
        return (items if isinstance(node.target, nodes.Tuple) else keys)(expressions.meter, value)
    return as_list(value, "`for`")


def _passes(target: nodes.Node, item: Json, test: nodes.Node, expressions: Expressions) -> bool:
    expressions.meter.spend(_STEPS_OF_A_ROUND)
    _give(target, item, expressions.variables)
    return bool(_value(test, expressions))


def _give(target: nodes.Node, value: Json, variables: JsonObject) -> None:
    names = target_names(target)
    if not isinstance(target, nodes.Tuple):
        variables[names[0]] = value
        return
    if not isinstance(value, list) or len(value) != len(names):
        what = f"a list of {len(value)}" if isinstance(value, list) else kind(value)
        raise TemplateFault(f"{', '.join(names)} need a list of {len(names)}, not {what}")
    variables.update(zip(names, value, strict=True))


def _loop_facts(index: int, count: int, parent: Json) -> JsonObject:
    first, last = index == 0, index == count - 1
    facts = {"index": index, "index0": index, "index1": index + 1, "length": count}
    outer = {} if parent is MISSING else {"parent": parent}
    return facts | {"first": first, "last": last, "is_first": first, "is_last": last} | outer

"""`assign`: fields of the context, one after the other."""

from runtime.dag.context.field_path import parse_field_path, put
from runtime.dag.document.fields import is_template
from runtime.dag.document.node import Assign
from runtime.dag.errors import Code, NodeError
from runtime.dag.execution.step import Step
from runtime.dag.json_value import JsonObject


def assigned(step: Step, body: Assign) -> JsonObject:
    """The context after all of them; each sees what was there before the node. Raises NodeError."""
    renderer, view, context = step.run.renderer, step.view, step.region.context
    for key, written in body.values.items():
        path = renderer.render(key, view) if is_template(key) else key
        try:
            context = put(context, parse_field_path(path), renderer.assigned(written, view))
        except ValueError as error:
            raise NodeError(Code.INVALID_INPUT, f"cannot assign {path[:80]!r}: {error}") from error
    return context

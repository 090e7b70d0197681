"""Values of inputs at a call, and of outputs at a return."""

from runtime.dag.context.field_path import put
from runtime.dag.contract.field_type import converted, is_of
from runtime.dag.contract.schema import violation
from runtime.dag.contract.signature import Field, Signature
from runtime.dag.errors import Code, NodeError
from runtime.dag.json_value import Json, JsonObject, identity

_ABSENT = object()


def bind_inputs(signature: Signature, context: JsonObject, query: tuple[tuple[str, str], ...] = ()) -> JsonObject:
    """Input -> value: from the query of the call, else the field of that name, else `inputs.<name>` (`inputs` may be
    the text of an object), else its default. Texts that stand for a value of the type are converted. Null is no value
    where the type has none; optional inputs without a value are absent.

    Raises NodeError (SIGNATURE_VIOLATION); details: {"field", "problem"}.
    """
    nested = converted(context.get("inputs"), "object")
    sources = (dict(query), context, nested if isinstance(nested, dict) else {})
    return _collected(signature.inputs, sources, "input", "assign it before the call, or give it a default")


def collect_outputs(signature: Signature, context: JsonObject) -> JsonObject:
    """Output -> value: from the field of that name, else `result.<name>`, converted and checked as inputs are.

    Raises NodeError (SIGNATURE_VIOLATION); details: {"field", "problem"}.
    """
    return _collected(signature.outputs, _staged(context), "output", "write it before the end, or make it optional")


def fill_outputs(signature: Signature, context: JsonObject) -> JsonObject:
    """The context that the fallback of a failed subgraph leaves, with what the subgraph owes: missing required texts
    have the field `text`, objects `parsed_output`, and an `acceptance_rate` is 0. Optional KV handles are dropped: they
    would be of something else."""
    sources = _staged(context)
    for field in signature.outputs:
        if not field.required:
            if field.name.endswith("kv_handle"):
                context = _without(context, field.name)
        elif _value(field, sources) is _ABSENT:
            value = 0 if field.name == "acceptance_rate" else _substitute(field, sources)
            context = context if value is _ABSENT else put(context, (field.name,), value)
    return context


def _collected(fields: tuple[Field, ...], sources: tuple[JsonObject, ...], side: str, remedy: str) -> JsonObject:
    values: JsonObject = {}
    for field in fields:
        value = _value(field, sources)
        if value is not _ABSENT:
            value = converted(value, field.type)
            if problem := _problem(field, value):
                raise _violated(field, side, problem)
            values[field.name] = value
        elif field.has_default:
            values[field.name] = field.default
        elif field.required:
            raise _violated(field, side, f"is missing; {remedy}")
    return values


def _staged(context: JsonObject) -> tuple[JsonObject, ...]:
    """Where outputs are, the first place first."""
    result = context.get("result")
    return (context, result) if isinstance(result, dict) else (context,)


def _value(field: Field, sources: tuple[JsonObject, ...]) -> Json:
    for source in sources:
        if field.name in source and (source[field.name] is not None or field.type == "any"):
            return source[field.name]
    return _ABSENT


def _substitute(field: Field, sources: tuple[JsonObject, ...]) -> Json:
    name = {"string": "text", "object": "parsed_output"}.get(field.type)
    return _ABSENT if name is None else _value(Field(name, field.type), sources)


def _without(context: JsonObject, name: str) -> JsonObject:
    result = context.get("result")
    if isinstance(result, dict) and name in result:
        context = context | {"result": {key: value for key, value in result.items() if key != name}}
    return {key: value for key, value in context.items() if key != name}


def _problem(field: Field, value: Json) -> str | None:
    """What is wrong with a value, behind the name of its field."""
    if not is_of(value, field.type):
        return f"has to be of type {field.type}, and is {_shown(value)}"
    if field.enum is not None and identity(value) not in map(identity, field.enum):
        return f"has to be one of {', '.join(map(_shown, field.enum))}, and is {_shown(value)}"
    if is_of(value, "number"):
        if field.minimum is not None and value < field.minimum:
            return f"has to be at least {field.minimum}, and is {_shown(value)}"
        if field.maximum is not None and value > field.maximum:
            return f"has to be at most {field.maximum}, and is {_shown(value)}"
    if field.schema is not None and (why := violation(value, field.schema)):
        return f"is not what its schema says: {why}"
    return None


def _violated(field: Field, side: str, problem: str) -> NodeError:
    message = f"{side} `{field.name}` {problem}"
    return NodeError(Code.SIGNATURE_VIOLATION, message, {"field": field.name, "problem": problem})


def _shown(value: Json) -> str:
    """A scalar, shortened, or what else it is."""
    if isinstance(value, dict | list):
        return f"an object of {len(value)} members" if isinstance(value, dict) else f"a list of {len(value)} items"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

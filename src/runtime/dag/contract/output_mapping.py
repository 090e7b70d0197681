"""Where the result of a tool goes in the context."""

from collections.abc import Mapping

from runtime.dag.context.field_path import get, parse_field_path, put
from runtime.dag.json_value import Json, JsonObject


def apply_outputs(
    context: JsonObject,
    payload: Json,
    output_keys: tuple[str, ...],
    output_mapping: Mapping[str, str],
    *,
    text_first: bool = False,
) -> JsonObject:
    """The context with the result of a tool, under `output_keys` and as `output_mapping` says.

    One key has the whole payload. Of several keys, each has the member of an object with its name, if there is one;
    if the payload is no object, the first has it all. `name: path` of the mapping writes the member `name` of the
    payload (or of its member `result`) to the field `path`; where there is none, the part `path` of
    {"result": payload} to the field `name`; where there is no such part either and this is the only entry, the payload
    to `path`.

    text_first: a payload {"text": ..} stands for its text where no member is named: the first key has the text.
    Raises ValueError, one line, if a path is none or leads through a value without members.
    """
    is_answer = text_first and isinstance(payload, dict) and "text" in payload
    whole = payload["text"] if is_answer else payload
    for i, key in enumerate(output_keys):
        if isinstance(payload, dict) and key in payload and (is_answer or len(output_keys) > 1):
            context = put(context, parse_field_path(key), payload[key])
        elif i == 0 and (len(output_keys) == 1 or is_answer or not isinstance(payload, dict)):
            context = put(context, parse_field_path(key), whole)
    for name, path in output_mapping.items():
        context = _mapped(context, payload, name, path, whole if len(output_mapping) == 1 else _NOTHING)
    return context


_NOTHING = object()


def _mapped(context: JsonObject, payload: Json, name: str, path: str, whole: object) -> JsonObject:
    results = (payload, payload.get("result")) if isinstance(payload, dict) else ()
    for result in results:
        if (value := _part(result, name)) is not _NOTHING:
            return put(context, parse_field_path(path), value)
    for result in ({"result": payload}, *results[:1]):
        if (value := _part(result, path)) is not _NOTHING:
            return put(context, parse_field_path(name), value)
    return context if whole is _NOTHING else put(context, parse_field_path(path), whole)


def _part(payload: Json, path: str) -> Json:
    if not isinstance(payload, dict):
        return _NOTHING
    if path in payload:
        return payload[path]
    try:
        return get(payload, parse_field_path(path))
    except (KeyError, ValueError):
        return _NOTHING

"""Templates of documents: texts with `{{ expressions }}` and `{% statements %}` over the context."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from runtime.dag.errors import Code, NodeError, one_line
from runtime.dag.json_value import Json
from runtime.dag.template.expressions import Expressions
from runtime.dag.template.fields_read import fields_read
from runtime.dag.template.meter import MAX_NESTING, Meter, TemplateFault, TextBuilder
from runtime.dag.template.operators import checked_number
from runtime.dag.template.statements import run
from runtime.dag.template.syntax import Template, is_plain, parse
from runtime.dag.template.values import check_size, shown

_MAX_KEPT = 2**18  # characters of templates that are kept parsed
_MOST_SHOWN = 300  # characters of an error
_EACH = 256  # characters that a template counts for more than it has


class Renderer:
    """Renders templates, which are strangers' programs: in a second and a few tens of MiB at most, with nothing of
    Python in reach. One for each run, because it keeps what it has parsed.

    view: the context's fields, and what the executor adds (`now`, `inputs`), by name. It is never changed; values that
    it gives may share parts with it. All but `reads` and `check` raise NodeError (TEMPLATE), one line.
    """

    def __init__(self) -> None:
        self._parsed: dict[str, Template] = {}
        self._kept = 0

    def render(self, text: str, view: Mapping[str, Json]) -> str:
        """The text that the template gives."""
        with _one_error(text):
            return self._text(text, view, Meter())

    def evaluate(self, text: str, view: Mapping[str, Json]) -> Json:
        """The value of a template that is one whole `{{ expression }}`, but for space around it; else the text."""
        with _one_error(text):
            return self._value(text, view, Meter())

    def value(self, value: Json, view: Mapping[str, Json]) -> Json:
        """`evaluate` of all texts in it, but for keys. They share one second."""
        return _in_all_texts(value, partial(self._value, view=view, meter=Meter()))

    def assigned(self, value: Json, view: Mapping[str, Json]) -> Json:
        """What `assign` writes: templates give texts, but for whole expressions that give an object or a list."""
        return _in_all_texts(value, partial(self._assigned, view=view, meter=Meter()))

    def condition(self, text: str, view: Mapping[str, Json]) -> bool:
        """Of a template, or of an expression alone. Texts count as what they say: true, false, a number, nothing."""
        template = text if "{{" in text or "{%" in text else f"{{{{ {text} }}}}"
        with _one_error(template):
            return _truth(self._value(template, view, Meter()))

    def reads(self, text: str) -> frozenset[str] | None:
        """Names of the context's fields that the template may look at, None if it may look at any."""
        try:
            return fields_read(self._template(text).body)
        except TemplateFault:
            return frozenset()

    def check(self, text: str) -> str | None:
        """What is wrong with the template before it runs, in one line; None if nothing is."""
        try:
            self._template(text)
        except TemplateFault as fault:
            return one_line(str(fault), _MOST_SHOWN)
        return None

    def _text(self, text: str, view: Mapping[str, Json], meter: Meter) -> str:
        if is_plain(text):
            return text
        out = TextBuilder(meter)
        run(self._template(text).body, Expressions(view, meter), out)
        return out.text()

    def _value(self, text: str, view: Mapping[str, Json], meter: Meter) -> Json:
        template = self._template(text)
        if template.whole is None:
            return self._text(text, view, meter)
        value = Expressions(view, meter).value(template.whole)
        check_size(value, meter)
        return value

    def _assigned(self, text: str, view: Mapping[str, Json], meter: Meter) -> Json:
        whole = self._template(text).whole
        value = None if whole is None else Expressions(view, meter).value(whole)
        if not isinstance(value, list | dict):
            return self._text(text, view, meter)
        check_size(value, meter)
        return value

    def _template(self, text: str) -> Template:
        if is_plain(text):
            return Template([], None)
        if text not in self._parsed:
            template = parse(text)
            if self._kept + len(text) + _EACH > _MAX_KEPT:
                self._parsed, self._kept = {}, 0
            self._parsed[text] = template
            self._kept += len(text) + _EACH
        return self._parsed[text]


@contextmanager
def _one_error(text: str) -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise NodeError(Code.TEMPLATE, f"the template {shown(text)}: it is nested too deeply") from error
    except (ValueError, ArithmeticError) as error:
        raise NodeError(Code.TEMPLATE, f"the template {shown(text)}: {one_line(str(error), _MOST_SHOWN)}") from error


def _in_all_texts(value: Json, change: Callable[[str], Json], depth: int = 0) -> Json:
    if depth > MAX_NESTING:
        raise NodeError(Code.TEMPLATE, f"a value with templates is nested deeper than {MAX_NESTING}")
    if isinstance(value, str):
        with _one_error(value):
            return change(value)
    if isinstance(value, list):
        return [_in_all_texts(item, change, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _in_all_texts(member, change, depth + 1) for key, member in value.items()}
    return value


def _truth(value: Json) -> bool:
    if not isinstance(value, str):
        return bool(value)
    said = value.strip()
    if said in ("true", "false", ""):
        return said == "true"
    try:
        return checked_number(float(said)) != 0
    except ValueError:
        raise TemplateFault(f"the condition gives {shown(value)}, neither true nor false nor a number") from None

"""Where Jinja and Inja agree, templates give what Jinja gives."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.dag.errors import NodeError
from runtime.dag.template.renderer import Renderer

VIEW: dict[str, Any] = {"i": 3, "j": -2, "h": 0.5, "s": "ab", "t": "b", "l": [3, 1, 2], "m": {"k": 4, "b": [5, "x"]}}

_jinja = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)

numbers = st.sampled_from(["i", "j", "h", "m.k", "m['b'][0]", "l[-1]", "7", "0", "2.5", "l | length", "(j | abs)"])
bases = st.sampled_from(["i", "j", "m.k", "7", "(l | first)"])  # Jinja takes the sign of a literal off: (-7) ** 2
texts = st.sampled_from(["s", "t", "'a b'", "m.b[1]", "(s | upper)", "s[1:]", "s[::-1]", "(l | join(t))", "''"])
lists = st.sampled_from(["l", "m.b", "[i, j]", "(l | sort)", "(s | list)", "l[1:]", "[]", "range(i) | list", "(l + l)"])


def _numeric(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("{} {} {}".format, inner, operators, inner),
        st.builds("({} ** {})".format, bases, st.sampled_from(["0", "3", "j"])),
        st.builds("(-{})".format, inner),
        st.builds("({} if {} > {} else {})".format, inner, inner, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("({} and {})".format, inner, inner),
    )


numeric = st.recursive(numbers, _numeric, max_leaves=6)
textual = st.recursive(
    texts,
    lambda inner: st.one_of(
        st.builds("({} ~ {})".format, inner, inner),
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} | replace('a', {}))".format, inner, inner),
        st.builds("({} | {})".format, inner, st.sampled_from(["upper", "lower", "capitalize", "trim"])),
        st.builds("({} if {} == {} else {})".format, inner, inner, inner, inner),
        st.builds("({} * {})".format, inner, st.sampled_from(["2", "0", "i"])),
        st.builds("('%s|%5.2f' | format({}, h))".format, inner),
    ),
    max_leaves=6,
)
comparisons = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
logical = st.recursive(
    st.one_of(
        st.builds("{} {} {}".format, numeric, comparisons, numeric),
        st.builds("{} {} {}".format, textual, comparisons, textual),
        st.builds("{} {} {}".format, numeric, st.sampled_from(["in", "not in"]), lists),
        st.builds("{} in {}".format, textual, textual),
        st.builds("{} < {} <= {}".format, numeric, numeric, numeric),
        st.builds("{} is {}".format, numbers, st.sampled_from(["number", "string", "integer", "float"])),
        st.sampled_from(
            [
                "m is mapping",
                "i is odd",
                "j is even",
                "i is defined",
                "q is defined",
                "m.q is not defined",
                "i is not none",
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=4,
)
written = st.one_of(
    st.builds("{{{{ {} }}}}".format, numeric | textual),
    st.builds("{{% if {} %}}yes{{% else %}}no{{% endif %}}".format, logical),
    st.builds("{{% set v = {} %}}{{{{ v }}}}".format, textual),
    st.sampled_from(["text\n", "{# note #}", " {%- if i %} x {%- endif -%} ", "{% raw %}{{ i }}{% endraw %}"]),
)
templates = st.lists(
    st.one_of(
        written,
        st.builds(
            "{{% for v in {} %}}{}{{{{ v }}}}{{{{ loop.index0 }}}}{{% else %}}-{{% endfor %}}".format, lists, written
        ),
    ),
    min_size=1,
    max_size=4,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(templates)
def test_renders_as_jinja_does(template: str) -> None:
    try:
        expected = _jinja.from_string(template).render(VIEW)
    except (TemplateError, TypeError, ArithmeticError):
        expected = None
    text: str | None
    try:
        text = Renderer().render(template, VIEW)
    except NodeError:
        text = None
    assert text == expected

"""Templates that want too much end in one clear line, within a second and in bounded memory."""

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.dag.errors import Code, NodeError
from runtime.dag.template.renderer import Renderer

VIEW = {
    "n": 3,
    "text": "a" * 2**19,
    "list": list(range(50_000)),
    "object": {str(i): i for i in range(20_000)},
    "small": {"a": [1, "x", None, {"b": True}], "s": "text"},
    "control": "\x01" * 400_000,
}
LOOP = "{% for i in range(99999) %}"

BOMBS = {
    "text times": "{{ 'a' * 10**9 }}",
    "text times text": "{{ ('a' * 10**5) * 10**5 }}",
    "range": "{{ range(10**9) }}",
    "range with a step": "{{ range(0, 10**300, 2) }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "power of a float": "{{ 9.0 ^ 999 }}",
    "factorial": "{% set x = 1 %}{% for i in range(1, 9999) %}{% set x = x * i %}{% endfor %}{{ x }}",
    "nested loops": f"{LOOP * 5}x{'{% endfor %}' * 5}",
    "nested empty loops": f"{LOOP}{{% for x in list %}}{{% endfor %}}{{% endfor %}}",
    "loops that choose nothing": f"{LOOP}{{% for x in list if false %}}{{% endfor %}}{{% endfor %}}",
    "output": LOOP + "x" * 100 + "{% endfor %}",
    "output of a block": "{% set b %}" + LOOP + "x" * 100 + "{% endfor %}{% endset %}",
    "doubling texts": "{% set a = 'x' %}" + LOOP + "{% set a = a ~ a %}{% endfor %}",
    "doubling by adding": "{% set a = 'x' %}" + LOOP + "{% set a = a + a %}{% endfor %}",
    "doubling lists": "{% set a = [1] %}" + LOOP + "{% set a = a + a %}{% endfor %}",
    "doubling values": "{% set a = [1] %}" + LOOP + "{% set a = [a, a] %}{% endfor %}{{ a }}",
    "doubling values a few times": "{% set a = 1 %}{% for i in range(60) %}{% set a = [a, a] %}{% endfor %}{{ a }}",
    "doubling objects": "{% set a = 1 %}{% for i in range(60) %}{% set a = {'k': a, 'l': a} %}{% endfor %}"
    "{% set b = 1 %}{% for i in range(60) %}{% set b = {'k': b, 'l': b} %}{% endfor %}{{ a == b }}",
    "doubling with join": "{% set a = 'x' %}" + LOOP + "{% set a = join([a, a], a) %}{% endfor %}",
    "doubling with replace": "{% set a = 'x' %}" + LOOP + "{% set a = a | replace('x', 'xx') %}{% endfor %}",
    "doubling with format": "{% set a = 'x' %}" + LOOP + "{% set a = '%s%s' | format(a, a) %}{% endfor %}",
    "deep values": "{% set a = 1 %}{% for i in range(20000) %}{% set a = [a] %}{% endfor %}{{ a }}",
    "replacing with long texts": "{{ text | replace('a', text) }}",
    "replacing nothing": "{{ text | replace('', text) }}",
    "join": "{{ list | join(text) }}",
    "format width": "{{ '%999999999d' | format(1) }}",
    "format precision": "{{ '%.999999999f' | format(1) }}",
    "format star": "{{ '%*d' | format(999999999, 1) }}",
    "format many": "{{ ('%99d' * 20000) | format(1) }}",
    "trim": "{{ text.strip(text) }}",
    "search": LOOP + "{% if 'b' in text %}{% endif %}{% endfor %}",
    "compare lists": LOOP + "{% if list == list %}{% endif %}{% endfor %}",
    "search lists": LOOP + "{% if -1 in list %}{% endif %}{% endfor %}",
    "sort": LOOP + "{% if list | sort %}{% endif %}{% endfor %}",
    "unique": "{{ list | unique }}",
    "items": LOOP + "{% if object.items() %}{% endif %}{% endfor %}",
    "json": LOOP + "{% if object | to_json %}{% endif %}{% endfor %}",
    "escapes": "{{ [control, control, control] | to_json }}",
    "escapes of one": "{{ control | to_json }}",
    "indents": "{{ object | to_json(indent=10**9) }}",
    "split": "{{ text | split('a') }}",
    "split at space": "{{ text | replace('a', ' a') | split }}",
    "long paths": "{{ exists('a.' * 400000 ~ 'a' * 300000) }}{{ [] | join(attribute='a.' * 500000) }}",
    "numerals": "{{ int('9' * 100000) }}",
    "literal": "{{ " + "9" * 4000 + " }}",
    "long literal": "{{ " + "9" * 500_000 + " }}",
    "infinite literal": "{{ 1e999 }}",
    "parentheses": "{{ " + "(" * 10**5 + "1" + ")" * 10**5 + " }}",
    "brackets": "{{ " + "[" * 10**5 + "]" * 10**5 + " }}",
    "braces": "{{ " + "{'a':" * 10**5 + "1" + "}" * 10**5 + " }}",
    "open brackets": "{{ " + "[" * 10**5,
    "not": "{{ " + "not " * 10**5 + "1 }}",
    "minus": "{{ " + "-" * 10**5 + "1 }}",
    "plus": "{{ 1" + "+1" * 9000 + " }}",
    "members": "{{ small" + ".a" * 9000 + " }}",
    "pipes": "{{ 1" + "|abs" * 9000 + " }}",
    "choices": "{{ " + "1 if 0 else " * 5000 + "2 }}",
    "powers": "{{ 1" + "**1" * 9000 + " }}",
    "nested ifs": "{% if n %}" * 5000 + "{% endif %}" * 5000,
    "nested fors": "{% for x in list %}" * 5000 + "{% endfor %}" * 5000,
    "many words": "{{n}}" * 100_000,
    "long text": "{{ n }}" + "x" * 2**20,
    "long name": "{{ " + "a" * 10**6 + " }}",
    "open comments": "{#" * 500_000,
    "open tags": "{%" * 500_000,
    "open raw": "{% raw %}" + "{% endraw" * 100_000,
    "spaces": "{% endraw" + " " * 10**6 + "{%- raw" + " " * 1000,
    "backslashes": "{{ '" + "\\" * 10**6,
    "digits with gaps": "{{ " + "1_" * 250_000 + " }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_fail_at_once(name: str) -> None:
    renderer = Renderer()
    started = time.monotonic()
    with pytest.raises(NodeError) as failure:
        renderer.render(BOMBS[name], VIEW)
    assert time.monotonic() - started < 3  # the template's own second, on a machine that does other things, too
    assert failure.value.code == Code.TEMPLATE
    line = str(failure.value)
    assert len(line.splitlines()) == 1 and line.isprintable() and len(line) < 500


@pytest.mark.parametrize(
    "name", ["doubling texts", "doubling lists", "doubling by adding", "nested ifs", "indents", "escapes"]
)
def test_bombs_take_little_memory(name: str) -> None:
    renderer = Renderer()
    tracemalloc.start()
    try:
        with pytest.raises(NodeError):
            renderer.render(BOMBS[name], VIEW)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_all_templates_of_a_value_share_their_steps() -> None:
    many = ["{% for x in list %}{% endfor %}" for _ in range(100)]
    Renderer().value(many[:2], VIEW)
    with pytest.raises(NodeError, match="too many steps"):
        Renderer().value(many, VIEW)


def test_values_may_not_be_nested_too_deep() -> None:
    value: list[object] = ["{{ n }}"]
    for _ in range(5000):
        value = [value]
    for method in (Renderer().value, Renderer().assigned):
        with pytest.raises(NodeError, match="nested deeper"):
            method(value, VIEW)


ATTRIBUTES = sorted({name for kind in (str, list, dict, int, type(len)) for name in dir(kind)})
WITHIN_REACH = {
    "capitalize",
    "endswith",
    "get",
    "items",
    "keys",
    "lower",
    "replace",
    "split",
    "startswith",
    "strip",
} | {
    "title",
    "upper",
    "values",
}


@pytest.mark.parametrize("target", ["small", "small.s", "small.a", "n", "loop", "$"])
def test_nothing_of_python_is_within_reach(target: str) -> None:
    renderer = Renderer()
    loop = "{% for x in [1] %}", "{% endfor %}"
    for name in [*ATTRIBUTES, "func_globals", "gi_frame", "parent_", "_view"]:
        ways = [f"{target}.{name}", f"{target}['{name}']", f"{target}|attr('{name}')", f"at({target}, '{name}')"]
        ways += [f"[{target}]|map(attribute='{name}')", f"[{target}]|join(attribute='{name}')"]
        if name not in WITHIN_REACH:
            ways += [f"{target}.{name}()", f"{target}.{name}({target})", f"[{target}]|map('{name}')|first == ''"]
        for way in ways:
            try:
                given = renderer.evaluate(f"{loop[0]}{{{{ {way} }}}}{loop[1]}", VIEW)
            except NodeError as failure:
                assert failure.code == Code.TEMPLATE
            else:
                # a function of ours that has the name of a method, as `sort`; or a fact of the loop, as `index`
                assert target == "loop" or (given.isprintable() and "<" not in given and "map('" in way)


JINJA = [
    "self",
    "lipsum",
    "cycler",
    "joiner",
    "namespace",
    "dict",
    "caller",
    "varargs",
    "super",
    "environment",
    "context",
]


@pytest.mark.parametrize("name", [*JINJA, "_", "__builtins__", "getattr", "print", "exec"])
def test_nothing_of_jinja_is_within_reach(name: str) -> None:
    renderer = Renderer()
    for template in (f"{{{{ {name} }}}}", f"{{{{ {name}() }}}}", f"{{{{ {name}.__init__.__globals__ }}}}"):
        with pytest.raises(NodeError):
            renderer.render(template, VIEW)


def test_calls_of_methods_of_python_that_are_not_ours_fail() -> None:
    for call in ("'{0.__class__}'.format(n)", "list.append(1)", "object.update({})", "''.join([])"):
        with pytest.raises(NodeError, match="there is no method"):
            Renderer().render(f"{{{{ {call} }}}}", VIEW)


words = st.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", "-", "+", "*", "/", "//", "%", "^", "**", "~", "(", ")", "[", "]", "{",
     "}", ",", ":", ".", "|", "=", "==", "!=", "<", ">=", "$", "'", '"', "'a'", "'%s'", "1", "0", "2.5", "-1", "if",
     "else", "elif", "endif", "for", "in", "endfor", "set", "endset", "not", "and", "or", "is", "defined", "none",
     "true", "null", "loop", "raw", "endraw", "n", "small", "a", "s", "list", "upper", "join", "map", "sort",
     "default", "exists", "range", "round", "format", "items", "to_json", "attribute", "x", "\n", "\\", "macro",
     "include", "filter", "é", "\x00"]
)  # fmt: skip
soups = st.lists(words, max_size=25).map(" ".join)
expressions = soups.map(lambda soup: f"{{{{ {soup} }}}}")


@settings(max_examples=1500, deadline=None)
@given(soups | expressions | st.text(max_size=20).map(lambda text: f"{{{{ {text} }}}}"))
def test_word_soup_gives_a_value_or_one_line(text: str) -> None:
    renderer = Renderer()
    view = {"n": 3, "small": {"a": [1, 2.5, "x"], "s": "text"}, "list": [3, 1, 2], "x": "a", "a": None}
    wrong = renderer.check(text)
    renderer.reads(text)
    try:
        given = renderer.evaluate(text, view)
        assert isinstance(given, str | int | float | list | dict | None) and wrong is None
    except NodeError as failure:
        assert failure.code == Code.TEMPLATE and len(str(failure).splitlines()) == 1
        assert wrong is None or wrong in str(failure)

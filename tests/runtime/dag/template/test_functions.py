"""Functions of templates against plain Python."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.dag.errors import NodeError
from runtime.dag.template.functions import FUNCTIONS, METHODS
from runtime.dag.template.renderer import Renderer

texts = st.text(st.characters(codec="utf-8"), max_size=12)
integers = st.integers(-(10**6), 10**6)
floats = st.floats(-1e6, 1e6)


def _give(expression: str, **view: Any) -> Any:
    return Renderer().evaluate(f"{{{{ {expression} }}}}", view)


@given(texts)
def test_texts(text: str) -> None:
    assert _give("upper(t)", t=text) == _give("t | upper", t=text) == _give("t.upper()", t=text) == text.upper()
    assert _give("[lower(t), capitalize(t), title(t), trim(t), reverse(t), list(t), len(t)]", t=text) == [
        text.lower(), text.capitalize(), text.title(), text.strip(), text[::-1], list(text), len(text)
    ]  # fmt: skip
    assert _give("t.split() | join(' ')", t=text) == " ".join(text.split())


@given(texts, texts.filter(bool), texts)
def test_parts_of_texts(text: str, part: str, other: str) -> None:
    view = {"t": text, "p": part, "o": other}
    replaced = text.replace(part, other)
    assert _give("[replace(t, p, o), t.replace(p, o), t | split(p) | join(o)]", **view) == [replaced] * 3
    assert _give("[split(t, p), t.startswith(p), t.endswith(p), p in t]", **view) == [
        text.split(part), text.startswith(part), text.endswith(part), part in text
    ]  # fmt: skip


@given(st.lists(integers | floats, min_size=1, max_size=8) | st.lists(texts, min_size=1, max_size=8))
def test_lists(items: list[Any]) -> None:
    assert _give("[sort(l), l | sort(reverse=true), l | reverse]", l=items) == [
        sorted(items), sorted(items, reverse=True), items[::-1]
    ]  # fmt: skip
    assert _give("[min(l), max(l), first(l), last(l), l | length]", l=items) == [
        min(items), max(items), items[0], items[-1], len(items)
    ]  # fmt: skip
    assert _give("unique(l + l)", l=items) == list(dict.fromkeys(items))
    wrapped = [{"k": {"v": item}} for item in items]
    assert _give("[w | map(attribute='k.v'), w | map(attr='k.v')]", w=wrapped) == [items, items]
    assert _give("w | sort(attribute='k.v') | map(attribute='k.v')", w=wrapped) == sorted(items)
    assert _give("w | join('+', attribute='k.v') == l | map('string') | join('+')", w=wrapped, l=items)
    if not isinstance(items[0], str):
        assert _give("sum(l)", l=items) == pytest.approx(sum(items))


@given(st.dictionaries(texts, integers, max_size=6), texts)
def test_objects(members: dict[str, int], key: str) -> None:
    view, names = {"o": members, "k": key}, sorted(members)
    assert _give("[keys(o), values(o), items(o)]", **view) == [
        names, [members[name] for name in names], [[name, members[name]] for name in names]
    ]  # fmt: skip
    assert _give("[o.get(k), o.get(k, 'd'), existsIn(o, k), k in o]", **view) == [
        members.get(key), members.get(key, "d"), key in members, key in members
    ]  # fmt: skip


@given(st.integers(-(10**9), 10**9), st.integers(0, 6))
def test_rounds_halves_away_from_zero(halves: int, precision: int) -> None:
    number = halves / 2 ** (precision + 1)  # exact, and often halfway
    expected = Decimal(number).quantize(Decimal(1).scaleb(-precision), ROUND_HALF_UP)
    given = _give("round(x, p)", x=number, p=precision)
    assert given == pytest.approx(float(expected), abs=1e-9 * abs(number))
    if precision == 0:
        assert given == expected and isinstance(given, int)
    assert _give("x | round(p)", x=halves, p=precision) == halves


@given(integers, st.integers(1, 50))
def test_integers(number: int, divisor: int) -> None:
    view = {"n": number, "d": divisor, "t": str(number)}
    assert _give("[even(n), odd(n), divisibleBy(n, d), abs(n)]", **view) == [
        number % 2 == 0, number % 2 == 1, number % divisor == 0, abs(number)
    ]  # fmt: skip
    assert _give("[int(t), int(n / 2), float(t), t | int + 1]", **view) == [
        number, int(number / 2), float(number), number + 1
    ]  # fmt: skip


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-9, 9).filter(bool))
def test_ranges(start: int, end: int, step: int) -> None:
    view = {"s": start, "e": end, "d": step}
    expected = [list(range(end)), list(range(start, end)), list(range(start, end, step))]
    assert _give("[range(e), range(s, e), range(s, e, d)]", **view) == expected


@given(st.from_regex(r"\A[-+ #0]{0,3}[0-9]{0,2}(\.[0-9]{0,2})?[dixXofFeEgGs]\Z"), st.integers(-(10**6), 10**6) | floats)
def test_formats_as_python_does(form: str, number: float) -> None:
    value = int(number) if form[-1] in "dixXo" else number
    assert _give("f | format(x)", f=f"<%{form}> 100%%", x=number) == f"<%{form}> 100%%" % value


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("isString", "x", True),
        ("isInteger", 1, True),
        ("isInteger", True, False),
        ("isFloat", 1.0, True),
        ("isFloat", 1, False),
        ("isNumber", 1, True),
        ("isNumber", False, False),
        ("isBoolean", False, True),
        ("isArray", [], True),
        ("isObject", {}, True),
        ("isObject", [], False),
    ],
)
def test_kinds(name: str, value: Any, holds: bool) -> None:
    assert _give(f"{name}(x)", x=value) is holds
    assert _give(f"x | {name}", x=value) is holds


@pytest.mark.parametrize(
    "call",
    ["'%q' | format(1)", "'%d' | format", "'%d' | format('x')", "'' | format(1)", "'%100d' | format(1)",
     "'%' | format(1)", "upper(1)", "join('a', 1)", "sort([1, 'a'])", "sort([true])", "max('ab')", "round('1')",
     "round(1.5, 99)", "even(1.5)", "split('a', '')", "range('3')", "range(1, 2, 0)", "length(3)", "keys([])",
     "int(null)", "int('1.5')", "sum(['a'])", "at([1], 1)", "at({}, 'a')", "map([1], 'nothing')", "map([1])",
     "map([1], 'abs', attribute='a')", "to_json(1, 99)", "map([{}], attribute='a')", "divisibleBy(4, 0)",
     "replace('a', '', 'b')", "[1][1.5:]", "5[1:]", "1 in 5", "- 'a'"],
)  # fmt: skip
def test_refuses_what_it_cannot_use(call: str) -> None:
    assert Renderer().check(f"{{{{ {call} }}}}") is None
    with pytest.raises(NodeError):
        _give(call)


def test_no_function_fails_in_its_own_way() -> None:
    odd = ["", "a", 0, -1, 2**70, 1.5, -1e308, True, None, [], [[]], ["a", 1], {}, {"a": [1]}]
    for name in {*FUNCTIONS, *METHODS}:
        for call in (
            f"{name}(x)",
            f"{name}(x, y)",
            f"x.{name}()",
            f"x.{name}(y)",
            f"x | {name}(y, y)",
            f"x | map('{name}')",
        ):
            renderer = Renderer()
            if renderer.check(f"{{{{ {call} }}}}") is None:
                for x in odd:
                    for y in odd:
                        try:
                            renderer.evaluate(f"{{{{ {call} }}}}", {"x": x, "y": y})
                        except NodeError as failure:
                            assert len(str(failure).splitlines()) == 1

"""From what clients send to requests, without a server around it."""

from types import SimpleNamespace
from typing import Any

import pytest

from model.chat_template import ChatTemplate
from runtime.config import HttpConfig
from runtime.grammar.grammar import Grammar
from runtime.request import SamplingParams
from runtime.server.api_error import ApiError
from runtime.server.request_schema import ChatBody, CompletionBody
from runtime.server.translator import Translator

LIMITS = HttpConfig(
    "127.0.0.1", 0, None, None, 1, None, max_new_tokens=50, max_choices=8, timeout=9.0, shutdown_seconds=1
)
SAMPLING = SamplingParams(temperature=0.5, top_k=7, presence_penalty=0.25)
TEMPLATE = "{% for m in messages %}{{ m.role[0] }}{{ m.content }}{% endfor %}"


class ToyEncoder:
    special_ids: dict[str, int] = {}  # noqa: RUF012
    eos_ids = frozenset({0})

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        return ([1] if bos else []) + list(text.encode())


def translator(grammar: Grammar | None = None, template: str | None = TEMPLATE, context: int = 40) -> Translator:
    chat = ChatTemplate(template) if template else None
    loaded: Any = SimpleNamespace(encoder=ToyEncoder(), chat_template=chat, stop=("\n\nUser:",))
    return Translator(loaded, SAMPLING, grammar, LIMITS, context)


def chat(**fields: Any) -> ChatBody:
    return ChatBody.model_validate({"messages": [{"role": "user", "content": "hi"}]} | fields)


def test_what_a_chat_leaves_out() -> None:
    (request,) = translator().chat(chat(), seed=5)
    assert bytes(request.prompt) == b"\x01uhi"
    assert request.max_new_tokens == 40 - 4  # all that there is room for
    assert (request.seed, request.sampling, request.deadline, request.grammar) == (5, SAMPLING, 9.0, None)
    assert request.stop == ("\n\nUser:",) and request.stop_tokens == {0}
    assert translator(context=400).chat(chat(), 0)[0].max_new_tokens == 50


def test_what_a_chat_says() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = chat(
        messages=[{"role": "developer", "content": parts}, {"role": "assistant", "content": "c"}],
        max_completion_tokens=3,
        max_tokens=4,
        stop="x",
        seed=2**63 - 1,
        n=2,
        temperature=0,
        top_k=0,
        frequency_penalty=1,
        logit_bias={"65": -3.5},
        logprobs=True,
        deadline=20.0,
        priority=-2,
    )
    first, second = translator().chat(body, 0)
    assert bytes(first.prompt) == b"\x01sabac" == bytes(second.prompt)
    assert (first.seed, second.seed) == (2**63 - 1, -(2**63))
    assert first.sampling == SamplingParams(
        temperature=0.0, presence_penalty=0.25, frequency_penalty=1.0, logit_bias=((65, -3.5),), logprobs=0
    )
    assert (first.max_new_tokens, first.stop, first.deadline, first.priority) == (3, ("x", "\n\nUser:"), 9.0, -2)


@pytest.mark.parametrize(
    ("response_format", "grammar"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, Grammar("json_schema", '{"type": "object"}')),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"const": 1}}},
            Grammar("json_schema", '{"const": 1}', lenient=True),
        ),
        (
            {"type": "json_schema", "json_schema": {"schema": {"const": 1}, "strict": True}},
            Grammar("json_schema", '{"const": 1}'),
        ),
        ({"type": "regex", "regex": "a+"}, Grammar("regex", "a+")),
        ({"type": "lark", "lark": 'start: "a"'}, Grammar("lark", 'start: "a"')),
    ],
)
def test_a_grammar_says_itself_where_an_answer_ends(response_format: dict[str, Any], grammar: Grammar | None) -> None:
    (request,) = translator(Grammar("regex", "b")).chat(chat(response_format=response_format), 0)
    assert request.grammar == grammar and request.stop == (() if grammar else ("\n\nUser:",))
    assert translator(Grammar("regex", "b")).chat(chat(), 0)[0].grammar == Grammar("regex", "b")


def test_prompts_are_texts_or_tokens() -> None:
    def prompts(prompt: Any, n: int = 1) -> list[tuple[tuple[int, ...], int]]:
        body = CompletionBody.model_validate({"prompt": prompt, "n": n, "seed": 3})
        return [(request.prompt, request.seed) for request in translator().completion(body, 0)]

    assert prompts("ab") == [((1, 97, 98), 3)]
    assert prompts([5, 6]) == [((5, 6), 3)]
    assert prompts(["a", "b"], n=2) == [((1, 97), 3), ((1, 97), 4), ((1, 98), 3), ((1, 98), 4)]
    assert prompts([[5], [6, 7]]) == [((5,), 3), ((6, 7), 3)]
    assert translator().completion(CompletionBody(prompt="a"), 0)[0].max_new_tokens == 16


@pytest.mark.parametrize(
    ("fields", "template", "words"),
    [
        ({}, None, "use /v1/completions"),
        ({}, "{{ raise_exception('no user here') }}", "no user here"),
        ({"messages": [{"role": "user", "content": "x" * 40}]}, TEMPLATE, "42 in the prompt"),
        ({"max_tokens": 51}, TEMPLATE, "at most 50"),
        ({"n": 9}, TEMPLATE, "9 answers"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"a": float("nan")}}}},
            TEMPLATE,
            "no JSON",
        ),
    ],
)
def test_what_cannot_be_served(fields: dict[str, Any], template: str | None, words: str) -> None:
    with pytest.raises(ApiError, match=words):
        translator(template=template).chat(chat(**fields), 0)

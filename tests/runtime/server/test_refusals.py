"""What a server does not take is refused in one line, as the API tells errors; and it goes on serving."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai import AuthenticationError, BadRequestError, InternalServerError, NotFoundError
from running_server import Running, launched

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and "\n" not in error["message"]
    return error


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"temperature": -1}, "temperature", "greater than or equal to 0"),
        ({"temperature": "1"}, "temperature", "valid number"),
        ({"temprature": 1}, "temprature", "did you mean 'temperature'"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported: leave it out"),
        ({"reasoning_effort": "high"}, "reasoning_effort", 'or set it to "none"'),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 5}, "n", "5 answers are asked for, and 1 to 4 can be had"),
        ({"max_tokens": 5000}, "max_tokens", "at most 4096"),
        ({"max_tokens": 2040}, "messages", "the context holds 2048 tokens"),
        ({"stop": [""]}, "stop", "1 to 1000 characters"),
        ({"stop": ["x"] * 17}, "stop", "at most 16"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "a token's number"),
        ({"logit_bias": {"2048": 1}}, None, "must be in 0..2047"),
        ({"top_logprobs": 2}, None, "needs logprobs=true"),
        ({"stream_options": {"include_usage": True}}, None, "needs stream=true"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "'system', 'developer', 'user'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type", "'text'"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages.0.name", "unknown field"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "belongs to type=json_schema"),
        ({"response_format": {"type": "regex", "regex": "("}}, None, "unclosed group"),
        ({"response_format": {"type": "json_object"}, "stop": "x"}, "stop", "leave out stop"),
        ({"deadline": 0}, "deadline", "greater than 0"),
    ],
)
def test_a_wrong_field_is_named(llama: Running, fields: dict[str, Any], param: str | None, words: str) -> None:
    error = refusal(llama.post("/chat/completions", json.dumps(CHAT | fields).encode()), 400)
    assert (error["param"], error["type"]) == (param, "invalid_request_error") and words in error["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {
            "user": "me",
            "store": True,
            "metadata": {"a": "b"},
            "service_tier": "flex",
            "prediction": {"type": "content"},
        },
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True, "modalities": ["text"], "audio": None},
        {"n": None, "temperature": None, "stop": None, "seed": None, "response_format": {"type": "text"}},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, *CHAT["messages"]]},
        {"stream_options": {"include_obfuscation": False}, "stream": True},
    ],
)
def test_what_cannot_change_the_answer_is_ignored(llama: Running, fields: dict[str, Any]) -> None:
    assert llama.post("/chat/completions", json.dumps(CHAT | fields).encode()).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"messages":' * 5000,
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
        b'{"messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 5000 + b"}",
    ],
)
def test_no_json(llama: Running, content: bytes) -> None:
    refusal(llama.post("/chat/completions", content), 400)


def test_other_mistakes_of_http(llama: Running) -> None:
    refusal(llama.post("/chat/completions", b"{}", **{"content-type": "text/plain"}), 415)
    refusal(llama.post("/chat/completions", b" " * (1024 * 1024 + 1)), 413)
    refusal(llama.post("/embeddings", b"{}"), 404)
    refusal(httpx.get(llama.url + "/completions"), 405)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["messages", "prompt", "n", "stop", "logit_bias", "response_format", "seed", "top_p", "logprobs", "stream_options"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["/chat/completions", "/completions"]), st.dictionaries(names | st.text(max_size=6), values))
@example("/chat/completions", {"\n": []})
def test_no_body_upsets_the_server(llama: Running, path: str, body: dict[str, Any]) -> None:
    plain = {"max_tokens": 1} | (CHAT if path.startswith("/chat") else {"prompt": "x"})
    response = llama.post(path, json.dumps(plain | body).encode())
    if response.status_code != 200:
        refusal(response, 400)


def test_another_model_is_not_here(llama: Running) -> None:
    with pytest.raises(NotFoundError, match="there is no model 'gpt'"):
        llama.client().completions.create(model="gpt", prompt="x")
    assert [model.id for model in llama.client().models.list()] == ["llama-1m"]
    assert llama.client().models.retrieve("llama-1m").id == "llama-1m"
    with pytest.raises(NotFoundError):
        llama.client().models.retrieve("a/b")


def test_a_prompt_can_be_too_long_or_no_tokens_at_all(llama: Running) -> None:
    create = llama.client().completions.create
    for prompt, words in (([1] * 2048, "2049"), ([], "0 answers"), ([[]], "empty"), ([5000], "vocabulary")):
        with pytest.raises(BadRequestError, match=words):
            create(model="llama-1m", prompt=prompt, max_tokens=1)


def test_who_has_no_key_stays_outside() -> None:
    with launched("llama-1m", "serve.api_key=secret", "serve.max_prompt_tokens=4") as server:
        with pytest.raises(AuthenticationError):
            server.client("wrong").models.list()
        refusal(httpx.get(server.url.removesuffix("v1") + "metrics"), 401)
        assert httpx.get(server.url.removesuffix("v1") + "health").json() == {"status": "ok"}
        client = server.client("secret")
        assert client.completions.create(model="llama-1m", prompt=[1, 2, 3, 4], max_tokens=1).choices
        with pytest.raises(BadRequestError, match="5 tokens, and at most 4 are taken"):
            client.completions.create(model="llama-1m", prompt=[1, 2, 3, 4, 5], max_tokens=1)


def test_a_full_queue_is_busy_and_recovers() -> None:
    with launched("llama-1m", "batching.max_sequences=1", "batching.max_waiting=2") as server:
        create = server.client().completions.create
        stream = create(model="llama-1m", prompt="x", max_tokens=1500, stream=True, logit_bias={"0": -100, "2": -100})
        next(stream)
        with pytest.raises(InternalServerError, match="2 requests are waiting") as busy:
            create(model="llama-1m", prompt="x", max_tokens=2, n=3)
        assert busy.value.response.headers["retry-after"] == "1" and busy.value.code == "engine_busy"
        stream.close()
        assert len(create(model="llama-1m", prompt="x", max_tokens=2, n=2).choices) == 2

"""What a server answers OpenAI's client is what the engine would answer, whole or in pieces."""

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError
from running_server import Running, launched

from runtime.assembly import assemble
from runtime.request import Request, SamplingParams

HELLO: list[Any] = [{"role": "user", "content": "Explain how to open a file."}]
PROMPT = "KING HENRY."
GREEDY = {"temperature": 0}


def direct(server: Running, prompts: list[list[int]], new_tokens: int, **sampling: Any) -> list[str]:
    """The same from the engine, beside the server's thread: on memory of its own."""
    assembly = assemble(server.assembly.config)
    eos = assembly.loaded.encoder.eos_ids
    requests = [
        Request(tuple(prompt), new_tokens, stop_tokens=eos, seed=7 + i, sampling=SamplingParams(**sampling))
        for i, prompt in enumerate(prompts)
    ]
    return [completion.text for completion in assembly.engine().generate(requests)]


def test_a_chat_is_answered(server: Running) -> None:
    loaded = server.assembly.loaded
    prompt = loaded.chat_template.encode(HELLO, loaded.encoder)
    answer = server.client().chat.completions.create(
        model=server.service.card.id, messages=HELLO, max_completion_tokens=20, **GREEDY
    )
    (choice,) = answer.choices
    assert choice.message.role == "assistant" and [choice.message.content] == direct(server, [prompt], 20)
    assert choice.finish_reason in ("stop", "length") and choice.logprobs is None
    assert answer.usage is not None and answer.usage.prompt_tokens == len(prompt)
    assert answer.usage.total_tokens == len(prompt) + answer.usage.completion_tokens
    assert answer.object == "chat.completion" and answer.id.startswith("chatcmpl-")


def test_a_chat_is_streamed(server: Running) -> None:
    arguments: dict[str, Any] = {
        "model": server.service.card.id,
        "messages": HELLO,
        "max_tokens": 24,
        "seed": 3,
        "n": 2,
    }
    whole = server.client().chat.completions.create(**arguments)
    chunks = list(
        server.client().chat.completions.create(**arguments, stream=True, stream_options={"include_usage": True})
    )
    assert [chunk.choices[0].delta.role for chunk in chunks[:2]] == ["assistant", "assistant"]
    texts, reasons = ["", ""], {}
    for chunk in chunks[2:-1]:
        (choice,) = chunk.choices
        assert choice.index not in reasons
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            reasons[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert [reasons[0], reasons[1]] == [choice.finish_reason for choice in whole.choices]
    assert chunks[-1].choices == [] and len({chunk.id for chunk in chunks}) == 1
    usage, expected = chunks[-1].usage, whole.usage
    assert usage and expected and usage.completion_tokens == expected.completion_tokens
    assert usage.prompt_tokens == expected.prompt_tokens


def test_choices_are_requests_with_seeds_that_follow(server: Running) -> None:
    encode = server.assembly.loaded.encoder.encode
    prompts = ["The following", encode("def main(")]
    tokens = [encode("The following", bos=True), encode("def main(")]
    answer = server.client().completions.create(
        model=server.service.card.id, prompt=prompts[0], n=3, seed=7, max_tokens=16
    )
    sampled = direct(server, [tokens[0]] * 3, 16, temperature=1.0)
    assert [choice.text for choice in answer.choices] == sampled and len(set(sampled)) > 1
    both = server.client().completions.create(model=server.service.card.id, prompt=tokens, max_tokens=16, **GREEDY)
    assert [choice.text for choice in both.choices] == direct(server, tokens, 16)
    assert [choice.index for choice in both.choices] == [0, 1]


def test_what_is_asked_again_is_cached(server: Running) -> None:
    text = "A sentence that no other test of this server has in its prompt, and of some length. " * 3
    create = server.client().completions.create
    counted = server.figure("inference_cached_tokens_total")
    first, second = (create(model=server.service.card.id, prompt=text, n=2, max_tokens=4).usage for _ in range(2))
    assert first.prompt_tokens_details.cached_tokens < 32 <= second.prompt_tokens_details.cached_tokens
    assert server.figure("inference_cached_tokens_total") - counted >= 3 * second.prompt_tokens_details.cached_tokens


def test_log_probabilities(server: Running) -> None:
    arguments: dict[str, Any] = {"model": server.service.card.id, "messages": HELLO, "max_tokens": 12, **GREEDY}
    arguments |= {"logprobs": True, "top_logprobs": 3}
    (choice,) = server.client().chat.completions.create(**arguments).choices
    scored = choice.logprobs.content
    for token in scored:
        assert token.logprob <= 0 and bytes(token.bytes).decode(errors="replace") == token.token
        assert [top.logprob for top in token.top_logprobs] == sorted(
            (t.logprob for t in token.top_logprobs), reverse=True
        )
        assert token.top_logprobs[0].token == token.token and len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == pytest.approx(token.logprob, abs=1e-5)
    assert b"".join(bytes(token.bytes) for token in scored).decode(errors="replace") == choice.message.content
    pieces = [chunk.choices[0] for chunk in server.client().chat.completions.create(**arguments, stream=True)]
    streamed = [token for piece in pieces if piece.logprobs for token in piece.logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in scored]
    assert [token.logprob for token in streamed] == pytest.approx([token.logprob for token in scored], abs=1e-4)

    legacy = server.client().completions.create(
        model=server.service.card.id, prompt=PROMPT, max_tokens=12, logprobs=2, **GREEDY
    )
    found = legacy.choices[0].logprobs
    for token, logprob, top, offset in zip(
        found.tokens, found.token_logprobs, found.top_logprobs, found.text_offset, strict=True
    ):
        assert top[token] == pytest.approx(logprob, abs=1e-5)
        assert token.startswith("bytes:") or legacy.choices[0].text[offset:].startswith(token)


def test_stops_end_an_answer_wherever_they_stand(server: Running) -> None:
    create = server.client().completions.create
    arguments: dict[str, Any] = {"model": server.service.card.id, "prompt": PROMPT, "max_tokens": 30, **GREEDY}
    text = create(**arguments).choices[0].text
    stop = text[10:13]
    (choice,) = create(**arguments, stop=["never to be seen", stop]).choices
    assert choice.text == text[: text.index(stop)] and choice.finish_reason == "stop"
    chunks = create(**arguments, stop=stop, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == choice.text


def test_bias_and_penalties_reach_the_sampler(server: Running) -> None:
    create, encoder = server.client().completions.create, server.assembly.loaded.encoder
    (token,) = encoder.encode("A")
    arguments: dict[str, Any] = {"model": server.service.card.id, "prompt": PROMPT, "max_tokens": 8, **GREEDY}
    assert create(**arguments, logit_bias={str(token): 100}).choices[0].text == "A" * 8
    both = create(**arguments, logit_bias={str(token): 100}, frequency_penalty=2, presence_penalty=2)
    assert both.choices[0].text == "A" * 8  # which a bias of 100 outweighs
    plain = create(**arguments).choices[0].text
    strange = create(**arguments, extra_body={"repetition_penalty": 50.0}).choices[0].text
    assert strange != plain and strange == create(**arguments, extra_body={"repetition_penalty": 50.0}).choices[0].text
    sampled = create(**{**arguments, "temperature": 5}, extra_body={"top_k": 1}).choices[0].text
    assert sampled == plain == create(**{**arguments, "temperature": 5, "top_p": 1e-6}).choices[0].text


def test_a_deadline_cuts_an_answer(server: Running) -> None:
    (choice,) = (
        server.client()
        .completions.create(
            model=server.service.card.id,
            prompt=PROMPT,
            max_tokens=1500,
            logit_bias={str(token): -100 for token in server.assembly.loaded.encoder.eos_ids},
            extra_body={"deadline": 0.05, "priority": 3},
        )
        .choices
    )
    assert choice.finish_reason == "length"
    assert server.figure('inference_requests_total{reason="deadline"}') == 1


def test_an_answer_can_be_json(server: Running) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "kind": {"enum": ["king", "file"]}},
        "required": ["name", "kind"],
        "additionalProperties": False,
    }
    create = server.client().chat.completions.create
    for seed in range(3):
        arguments: dict[str, Any] = {
            "model": server.service.card.id,
            "messages": HELLO,
            "seed": seed,
            "max_tokens": 200,
        }
        answer = create(
            **arguments,
            response_format={"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}},
        )
        value = json.loads(answer.choices[0].message.content)
        assert set(value) == {"name", "kind"} and value["kind"] in ("king", "file") and len(value["name"]) <= 8
        assert answer.choices[0].finish_reason == "stop"
        word = create(**arguments, extra_body={"response_format": {"type": "regex", "regex": "(yes|no)!"}})
        assert word.choices[0].message.content in ("yes!", "no!")
    with pytest.raises(BadRequestError, match="leave out stop"):
        create(**arguments, stop="a", response_format={"type": "json_object"})


def test_what_a_schema_cannot_promise_is_said(server: Running) -> None:
    schema = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "maxItems": 3, "uniqueItems": True}
    arguments: dict[str, Any] = {"model": server.service.card.id, "messages": HELLO, "max_tokens": 50}
    strict = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}
    with pytest.raises(BadRequestError, match="uniqueItems"):
        server.client().chat.completions.create(**arguments, response_format=strict)
    lenient = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    answer = server.client().chat.completions.create(**arguments, response_format=lenient)
    assert len(json.loads(answer.choices[0].message.content)) == 3
    warnings = answer.choices[0].model_extra["warnings"]
    assert any("uniqueItems" in warning for warning in warnings) and len(warnings) == 2
    chunks = list(server.client().chat.completions.create(**arguments, response_format=lenient, stream=True))
    assert len(chunks[-1].choices[0].model_extra["warnings"]) == 2


def test_many_clients_at_once_get_what_each_gets_alone(server: Running) -> None:
    prompts = [f"{word} {i}" for i, word in enumerate(["The", "KING", "def", "import", "Return", "When"] * 4)]

    async def ask(client: AsyncOpenAI, i: int) -> str:
        arguments: dict[str, Any] = {"model": server.service.card.id, "prompt": prompts[i], "max_tokens": 10 + i % 5}
        if i % 2:
            return (await client.completions.create(**arguments, **GREEDY)).choices[0].text
        stream = await client.completions.create(**arguments, **GREEDY, stream=True)
        return "".join([chunk.choices[0].text async for chunk in stream])

    async def ask_all() -> list[str]:
        async with AsyncOpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, i) for i in range(len(prompts))))

    together = asyncio.run(ask_all())
    encode = server.assembly.loaded.encoder.encode
    alone = direct(server, [encode(prompt, bos=True) for prompt in prompts], 14)
    for i, (text, expected) in enumerate(zip(together, alone, strict=True)):
        assert expected.startswith(text), i


def test_drafts_and_a_grammar_can_be_the_server_s() -> None:
    with launched("llama-1m", "speculation=ngram", "speculation.adaptive=false") as server:
        encode = server.assembly.loaded.encoder.encode
        text = "def f(a, b):\n    return a\n\ndef f(a, b):\n    return a\n\ndef f(a"
        answer = server.client().completions.create(model="llama-1m", prompt=text, max_tokens=24, **GREEDY)
        with launched("llama-1m", "grammar=regex", "grammar.source='(yes|no)!'") as other:
            assert [answer.choices[0].text] == direct(other, [encode(text, bos=True)], 24)
            said = other.client().chat.completions.create(model="llama-1m", messages=HELLO).choices[0].message.content
            assert said in ("yes!", "no!")
        drafted, right = (
            server.figure("inference_draft_tokens_total"),
            server.figure("inference_accepted_draft_tokens_total"),
        )
        assert drafted >= right > 0

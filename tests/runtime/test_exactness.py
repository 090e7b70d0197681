"""Whatever runs beside a request, before it, or guesses for it: its greedy tokens are those of plain decoding alone."""

from functools import cache

import pytest
from test_small_models import assembled

from runtime.assembly import Assembly
from runtime.engine import Engine
from runtime.events import Event, Preempted, Started, Stepped, TokenAccepted
from runtime.grammar.grammar import Grammar
from runtime.request import Request

NEW_TOKENS = 40
TEXTS = [  # that repeat themselves, so that looking up what came before finds something
    "KING HENRY. My lord of York, my lord of York, my lord of York, my lord of",
    "for i in range(10):\n    print(i)\n" * 3 + "for i in",
    "Return the number of items in the list.\n" * 3 + "Return the",
]
EXAMPLES = '{"name": "a", "tags": ["red"], "next": true}\n{"name": "b", "tags": ["red"], "next": true}\n'
SCHEMA = Grammar(
    "json_schema",
    '{"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "tags": {"type": "array", "items":'
    ' {"enum": ["red", "green"]}, "maxItems": 2}, "next": {"type": "boolean"}}, "required": ["name", "tags", "next"],'
    ' "additionalProperties": false}',
)
FAMILIES = {"llama-4m": "rwkv7-1m", "rwkv7-4m": "llama-1m"}  # each with a draft model of the other family
DRAFTS = ["plain", "draft_model", "ngram"]
GRAMMARS = {"no grammar": None, "JSON Schema": SCHEMA}


@cache
def assembly(model: str, drafts: str) -> Assembly:
    settings = ["batching.max_sequences=3", "cache.block_size=16", "cache.memory_mib=32", "cache.snapshot_gap=4"]
    if drafts != "plain":
        settings += [f"speculation={drafts}", "speculation.adaptive=false", "speculation.most=4"]
    if drafts == "draft_model":
        source = "${checkout:experiments/models/" + FAMILIES[model] + "}"
        settings += [f"speculation.model.source='{source}'", "speculation.model.dtype=f32", "speculation.memory_mib=16"]
    return assembled(model, *settings)


def requests(model: str, grammar: Grammar | None) -> list[Request]:
    encoder = assembly(model, "plain").loaded.encoder
    prompts = [tuple(encoder.encode(text + EXAMPLES if grammar else text)) for text in TEXTS]
    return [Request(prompt, NEW_TOKENS, stop_tokens=encoder.eos_ids, grammar=grammar) for prompt in prompts]


@cache
def alone(model: str, grammar: Grammar | None) -> list[list[int]]:
    """Tokens of plain decoding, one request after another, nothing shared."""
    engine = assembly(model, "plain").engine()
    engine.store.index = None
    return [engine.generate([request])[0].tokens for request in requests(model, grammar)]


class Watched:
    """An engine's tokens of each request, and everything that happened."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[Event] = []

    def run(self, steps: int | None = None) -> None:
        while not self.engine.is_idle and steps != 0:
            self.events += self.engine.step()
            self.engine.store.allocator.check()
            steps = steps and steps - 1

    def tokens(self, number: int) -> list[int]:
        return [e.token for e in self.events if isinstance(e, TokenAccepted) and e.request == number]

    def reused(self, number: int) -> int:
        return next(e.reused for e in self.events if isinstance(e, Started) and e.request == number)


def fresh(watched: Watched, wanted: list[Request]) -> list[int]:
    return [watched.engine.submit(request) for request in wanted]


def prefix_hit(watched: Watched, wanted: list[Request]) -> list[int]:
    for request in wanted:
        watched.engine.submit(request)
        watched.run()
    numbers = fresh(watched, wanted)
    watched.run()
    assert all(
        watched.reused(number) >= len(request.prompt) - 1 for number, request in zip(numbers, wanted, strict=True)
    )
    return numbers


def forked_handle(watched: Watched, wanted: list[Request]) -> list[int]:
    """Each twice from one handle on the first half of its prompt."""
    numbers = []
    for request in wanted:
        half = request.prompt[: len(request.prompt) // 2]
        parent = watched.engine.submit(Request(half, 1, keep=True))
        watched.run()
        handle = watched.engine.handle(parent)
        forks = [
            Request(request.prompt, NEW_TOKENS, stop_tokens=request.stop_tokens, grammar=request.grammar, resume=handle)
        ]
        numbers += [watched.engine.submit(fork) for fork in forks * 2]
        watched.run()
        assert all(watched.reused(number) >= len(half) for number in numbers[-2:])
        watched.engine.release(handle)
    assert watched.tokens(numbers[0]) == watched.tokens(numbers[1])
    return numbers[1::2]


def preempted(watched: Watched, wanted: list[Request]) -> list[int]:
    """All of them lose their memory to others of higher priority, in the middle of their answers."""
    numbers = fresh(watched, wanted)
    watched.run(2)
    for text in TEXTS:
        prompt = tuple(reversed(wanted[0].prompt))
        watched.engine.submit(Request(prompt[: len(text) // 4], 6, priority=1))
    watched.run()
    assert {event.request for event in watched.events if isinstance(event, Preempted)} >= set(numbers)
    return numbers


@pytest.mark.parametrize("scenario", [fresh, prefix_hit, forked_handle, preempted])
@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("drafts", DRAFTS)
@pytest.mark.parametrize("model", FAMILIES)
def test_greedy_tokens_are_those_of_plain_decoding(model: str, drafts: str, grammar: str, scenario) -> None:  # type: ignore[no-untyped-def]
    watched = Watched(assembly(model, drafts).engine())
    numbers = scenario(watched, requests(model, GRAMMARS[grammar]))
    watched.run()
    assert [watched.tokens(number) for number in numbers] == alone(model, GRAMMARS[grammar])
    assert watched.engine.ledger().held == 0
    if drafts != "plain":
        steps = [event for event in watched.events if isinstance(event, Stepped)]
        assert sum(step.drafted for step in steps) > 0
        assert sum(step.drafts_kept for step in steps) > 0

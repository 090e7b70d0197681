"""Two thousand random requests in memory for a few: whatever they are and however they end, nothing is lost or kept."""

import gc
import random

import pytest
from test_small_models import assembled

from runtime.engine import Engine
from runtime.errors import EngineBusy, RequestError
from runtime.events import Finished, RequestEvent
from runtime.grammar.grammar import Grammar
from runtime.memory.handle import Handle
from runtime.request import Request, SamplingParams
from runtime.sequence import Sequence

REQUESTS = 2000
SETTINGS = [
    "speculation=ngram",
    "speculation.adaptive=false",
    "speculation.most=3",
    "batching.max_sequences=4",
    "batching.token_budget=48",
    "batching.max_waiting=5",
    "cache.block_size=8",
    "cache.snapshot_gap=2",
]
GRAMMARS = [
    Grammar("regex", "[a-c]{2,6}"),
    Grammar("json_schema", '{"enum": ["one", "two", {"a": 1}]}'),
    Grammar("regex", "(unclosed"),
    Grammar("json_schema", '{"type": "nothing"}'),
]


def random_request(choice: random.Random, handles: list[Handle]) -> Request:
    """Mostly sane, of prompts that begin alike; some oversized, malformed, out of range."""
    shared = [choice.randrange(3, 9) for _ in range(choice.randrange(1, 4))] * choice.randrange(1, 8)
    prompt = tuple(shared + [choice.randrange(3, 60) for _ in range(choice.randrange(0, 6))])
    resume = choice.choice(handles) if handles and choice.random() < 0.3 else None
    if resume:
        prompt = (*resume.tokens[:60], *prompt[:8])
    odd = choice.random()
    if odd < 0.03:
        prompt = ()
    elif odd < 0.06:
        prompt = (*prompt, 10**6)
    sampling = SamplingParams(
        temperature=choice.choice([0.0, 0.0, 0.9, -1.0 if odd > 0.97 else 1.2]),
        top_k=choice.choice([0, 5]),
        presence_penalty=choice.choice([0.0, 0.0, 0.5]),
        logprobs=choice.choice([None, None, 2]),
    )
    return Request(
        prompt,
        choice.choice([1, 3, 8, 14, 10**5 if 0.06 < odd < 0.09 else 5]),
        stop=choice.choice([(), (), ("e",)]),
        seed=choice.randrange(100),
        sampling=sampling,
        grammar=choice.choice(GRAMMARS) if choice.random() < 0.15 else None,
        priority=choice.choice([0, 0, 0, 1, -1]),
        deadline=choice.choice([None, None, None, 1e-4, 0.02]),
        keep=choice.random() < 0.2,
        resume=resume,
    )


@pytest.mark.parametrize(("model", "blocks"), [("llama-1m", 24), ("rwkv7-1m", 7)])
def test_a_long_day_leaves_nothing_behind(model: str, blocks: int) -> None:
    others = count_sequences()
    assembly = assembled(model, *SETTINGS, f"cache.blocks={blocks}")
    engine = assembly.engine()
    choice = random.Random(7)
    handles: list[Handle] = []
    kept: set[int] = set()
    unfinished: set[int] = set()
    refused = busy = 0
    reasons: dict[str, int] = {}
    for _ in range(REQUESTS):
        try:
            request = random_request(choice, handles)
            number = engine.submit(request)
            unfinished.add(number)
            kept |= {number} if request.keep else set()
        except EngineBusy:
            busy += 1
        except RequestError:
            refused += 1
        if choice.random() < 0.5:
            note(engine.step(), unfinished, reasons)
        for number in sorted(kept - unfinished):
            handles.append(engine.handle(number))
            kept.remove(number)
        disturb(engine, choice, handles, unfinished)
        engine.ledger()
    while not engine.is_idle:
        note(engine.step(), unfinished, reasons)
    assert not unfinished and sum(reasons.values()) + refused + busy == REQUESTS
    assert {"stop", "length", "cancelled", "deadline"} <= reasons.keys() and refused > 50 and busy > 50, reasons
    handles += [engine.handle(number) for number in kept]
    for handle in handles:
        engine.release(handle)
    del request
    assert_empty(engine, blocks)
    assert count_sequences() <= others


def count_sequences() -> int:
    """In memory, reachable or not."""
    gc.collect()
    return sum(type(thing) is Sequence for thing in gc.get_objects())


def note(events: list, unfinished: set[int], reasons: dict[str, int]) -> None:  # type: ignore[type-arg]
    for event in events:
        if isinstance(event, RequestEvent):
            assert event.request in unfinished, "a finished request is heard of again"
        if isinstance(event, Finished):
            unfinished.remove(event.request)
            reasons[event.reason] = reasons.get(event.reason, 0) + 1


def disturb(engine: Engine, choice: random.Random, handles: list[Handle], unfinished: set[int]) -> None:
    """Cancels, takes handles of what runs, releases handles."""
    what = choice.random()
    if what < 0.05 and unfinished:
        engine.cancel(choice.choice(sorted(unfinished)))
    elif what < 0.1 and engine.scheduler.running:
        handles.append(engine.handle(choice.choice(engine.scheduler.running).id))
    elif what < 0.15 and handles:
        engine.release(handles.pop(choice.randrange(len(handles))))
    engine.store.allocator.check()
    if what > 0.98 and engine.store.index:
        engine.store.index.check()


def assert_empty(engine: Engine, blocks: int) -> None:
    assert len(engine.store.handles) == 0 and engine.ledger().held == 0
    assert engine.store.index is not None
    engine.store.index.check()
    engine.store.index.clear()
    assert engine.ledger() == (blocks, 0, 0, blocks)
    assert not engine._sequences and not engine._handles and engine.scheduler.is_idle

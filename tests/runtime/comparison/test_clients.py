"""Clients ask in turn, on the toy model."""

from toy_model import toy_continuation, toy_engine

from runtime.comparison.clients import Clients, Turn
from runtime.comparison.events import Asked, Judged
from runtime.comparison.thread import Thread
from runtime.events import Event, Finished, Submitted, TokenAccepted
from runtime.request import Request


def make(turn: Turn, prompt: tuple[int, ...]) -> Request:
    return Request(prompt, 4, priority=turn.thread)


def never() -> bool:
    return False


def test_the_next_turn_has_the_answer_to_the_one_before() -> None:
    thread = Thread(((1, 2), (3,), (4,)), 4, remembers=True)
    clients = Clients(toy_engine(), [thread], make)
    events = list(clients.serve(never))
    said: list[int] = []
    for turn, answer in zip(thread.turns, clients.answers[0], strict=True):
        said += turn
        assert answer == toy_continuation(said, 4)
        said += answer
    asked = [event for event in events if isinstance(event, Asked)]
    assert [(event.thread, event.turn, event.request) for event in asked] == [(0, 0, 0), (0, 1, 1), (0, 2, 2)]
    order = [event.request for event in events if isinstance(event, Asked | Submitted)]
    assert order == [0, 0, 1, 1, 2, 2]


def test_threads_come_when_so_many_tokens_are_there() -> None:
    threads = [Thread(((1,),), 4), Thread(((2,),), 4, after=2), Thread(((3,),), 4, after=100)]
    tokens = 0
    came: dict[int, int] = {}
    for event in Clients(toy_engine(), threads, make).serve(never):
        tokens += isinstance(event, TokenAccepted)
        if isinstance(event, Asked):
            came[event.thread] = tokens
    assert came == {0: 0, 1: 2, 2: 8}  # the last as there was nothing else to do


def test_answers_are_held_against_their_schemas() -> None:
    thread = Thread(((1,),), 4, schema='{"type": "object"}')
    judged = [event for event in Clients(toy_engine(), [thread], make).serve(never) if isinstance(event, Judged)]
    assert len(judged) == 1 and "the answer is not JSON" in judged[0].problems[0]


def test_an_interruption_ends_all_at_once() -> None:
    threads = [Thread(((1,), (2,)), 4), Thread(((3,),), 4, after=100)]
    events: list[Event] = []
    engine = toy_engine()
    for event in Clients(engine, threads, make).serve(lambda: len(events) > 3):
        events.append(event)
    finished = [event.reason.value for event in events if isinstance(event, Finished)]
    assert finished == ["cancelled"] and engine.is_idle and engine.ledger().held == 0

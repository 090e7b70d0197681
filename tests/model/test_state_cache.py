"""A recurrent state can be forked, and cut back as far as it promises, whatever was fed before."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_rwkv7 import plain_rwkv7
from tiny_rwkv7 import LAYERS, VOCABULARY, tiny_rwkv7, write_pth

from kernels.ops import load_ops
from model.executor import ModelExecutor
from model.pth_file import PthFile
from model.rwkv7_config import rwkv7_config
from model.rwkv7_model import Rwkv7
from model.rwkv7_names import OFFICIAL
from model.rwkv7_weights import read_rwkv7_weights
from model.sequence_step import SequenceStep
from model.state_cache import StateCache

SLOTS, LOG = 3, 4
CPU = torch.device("cpu")
Executor = ModelExecutor[StateCache]
MakeExecutor = Callable[..., Executor]
TENSORS = tiny_rwkv7()


@pytest.fixture(scope="module")
def make_executor(tmp_path_factory: pytest.TempPathFactory) -> MakeExecutor:
    file = PthFile(write_pth(tmp_path_factory.mktemp("states") / "tiny.pth", TENSORS))
    config = rwkv7_config(file, OFFICIAL)
    model = Rwkv7(config, read_rwkv7_weights(file, OFFICIAL, config, "f32", CPU), torch.float32, CPU)
    return lambda log=LOG: ModelExecutor(model, StateCache(config, SLOTS, log, CPU), load_ops("reference"))


@dataclass
class Twin:
    """A sequence's tokens, how short it may become again, and how many more tokens keep that so (the promise)."""

    tokens: list[int] = field(default_factory=list)
    least: int = 0
    ahead: int = 0

    def feed(self, tokens: list[int], ahead: int) -> SequenceStep:
        """The step, in the slot that is still to be said; a promise that is not used up is kept, also by steps that
        look less far ahead."""
        before = len(self.tokens)
        if len(tokens) <= self.ahead:
            self.ahead -= len(tokens)
            ahead = min(ahead, self.ahead)
        else:
            self.ahead = ahead
            self.least = before + (1 if len(tokens) + ahead <= LOG else len(tokens))
        self.tokens += tokens
        return SequenceStep(tokens, before, [], len(tokens), ahead)


def step(executor: Executor, steps: list[SequenceStep]) -> torch.Tensor:
    return executor.step(steps).clone()


TOKENS = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=LOG + 2)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_program_of_feeding_cutting_and_forking(make_executor: MakeExecutor, data: st.DataObject) -> None:
    executor, twins = make_executor(), [Twin() for _ in range(SLOTS)]
    for _ in range(data.draw(st.integers(1, 12))):
        slot = data.draw(st.integers(0, SLOTS - 1))
        match data.draw(st.sampled_from(["feed", "feed", "feed", "cut", "fork", "refuse"])):
            case "feed":
                slots = sorted({slot, data.draw(st.integers(0, SLOTS - 1))})
                drawn = [(data.draw(TOKENS), data.draw(st.integers(0, LOG))) for _ in slots]
                steps = [twins[i].feed(*feed)._replace(blocks=[i]) for i, feed in zip(slots, drawn, strict=True)]
                rows = step(executor, steps).split([len(fed.tokens) for fed in steps])
                for i, fed, logits in zip(slots, steps, rows, strict=True):
                    expected = plain_rwkv7(TENSORS, twins[i].tokens)[0][fed.cached :].float()
                    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
            case "cut":
                twin = twins[slot]
                kept = data.draw(st.integers(twin.least, len(twin.tokens)) | st.just(0))  # one may always begin anew
                twin.tokens, twin.least, twin.ahead = twin.tokens[:kept], min(twin.least, kept), 0
            case "fork" if twins[slot].tokens:
                other = (slot + 1) % SLOTS
                executor.cache.copy_block(slot, other)
                twins[other] = Twin(list(twins[slot].tokens), twins[slot].least, twins[slot].ahead)
            case "refuse":
                right = SequenceStep([1], len(twins[slot].tokens), [slot], 1, twins[slot].ahead)
                wrong = SequenceStep([1], len(twins[slot - 1].tokens) + LOG + 3, [(slot - 1) % SLOTS], 1)
                with pytest.raises(ValueError, match="it cannot continue after"):
                    step(executor, [right, wrong])


class Recorded(NamedTuple):
    """What a step launched of the recurrence's kernels, a layer, and its logits."""

    launches: tuple[str, ...]
    logits: torch.Tensor


def recorder(make_executor: MakeExecutor, log: int) -> Callable[[SequenceStep], Recorded]:
    """Steps of one sequence each, on an executor of its own."""
    executor, launched = make_executor(log), []

    def recording(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def launch(*arguments: Any, **options: Any) -> Any:
            launched.append(name)
            return function(*arguments, **options)

        return launch

    recorded = {name: recording(name, getattr(executor.ops, name)) for name in ("wkv7", "wkv7_delayed", "wkv7_fold")}
    executor.ops = executor.ops._replace(**recorded)

    def run(fed: SequenceStep) -> Recorded:
        launched.clear()
        logits = step(executor, [fed])
        return Recorded(tuple(launched[: len(launched) // LAYERS]), logits)

    return run


PLAIN, LOGGED = ("wkv7",), ("wkv7_fold", "wkv7", "wkv7_delayed")


def test_plain_steps_are_those_of_a_cache_without_a_log(make_executor: MakeExecutor) -> None:
    with_log, without = recorder(make_executor, LOG), recorder(make_executor, 0)
    for fed in [decode(0), decode(1), decode(2), SequenceStep([5] * (LOG + 1), 3, [0], 1), decode(LOG + 4)]:
        one, other = with_log(fed), without(fed)
        assert one.launches == other.launches == PLAIN
        assert torch.equal(one.logits, other.logits)


def test_a_step_after_drafts_empties_the_log_and_the_next_is_plain(make_executor: MakeExecutor) -> None:
    run = recorder(make_executor, LOG)
    assert run(decode(0)).launches == PLAIN
    assert run(SequenceStep([3, 7, 7], 1, [0], 3)).launches == LOGGED
    assert run(decode(2)).launches == LOGGED
    assert run(decode(3)).launches == PLAIN
    assert run(SequenceStep([3, 7], 4, [0], 2)).launches == LOGGED
    assert run(SequenceStep([1] * (LOG + 1), 5, [0], 1)).launches == LOGGED
    assert run(decode(LOG + 6)).launches == PLAIN


def test_what_was_looked_ahead_to_is_logged(make_executor: MakeExecutor) -> None:
    run = recorder(make_executor, LOG)
    assert run(SequenceStep([1] * 9, 0, [0], 1, lookahead=2)).launches == PLAIN
    assert run(decode(9)).launches == LOGGED
    assert run(decode(10)).launches == LOGGED
    for _ in range(2):  # both taken back; the log is empty then, and nothing is ahead
        assert run(decode(9)._replace(lookahead=1)).launches == LOGGED
    assert run(decode(9)).launches == PLAIN


def decode(cached: int) -> SequenceStep:
    return SequenceStep([3], cached, [0], 1)


def test_a_copy_is_the_state_bit_for_bit(make_executor: MakeExecutor) -> None:
    executor = make_executor()
    step(executor, [SequenceStep([3, 1, 4, 1, 5, 9], 0, [0], 0)])
    step(executor, [SequenceStep([2, 6], 6, [0], 0)])
    executor.cache.copy_block(0, 2)
    for cached in (8, 6):
        saved, copied = (executor.cache.save([slot], cached) for slot in (0, 2))
        assert all(torch.equal(saved[name], copied[name]) for name in saved)


def test_what_cannot_be_promised_is_refused(make_executor: MakeExecutor) -> None:
    executor = make_executor()
    assert executor.cache.rollback == LOG - 1
    with pytest.raises(ValueError, match="slot 1 looks ahead to 5 tokens, its log has room for 4"):
        step(executor, [SequenceStep([1], 0, [1], 0, LOG + 1)])

"""Steps laid out flat: as a plain twin lays them out, in fresh memory and in memory that earlier steps have filled."""

from itertools import accumulate

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batch import Batch, BatchBuffer, StepShape, make_batch
from model.sequence_step import SequenceStep

SEQUENCES, TOKENS, WIDTH, BLOCK_SIZE = 5, 12, 6, 4
CPU = torch.device("cpu")


@st.composite
def steps(draw: st.DrawFn) -> list[SequenceStep]:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=SEQUENCES - 1).filter(lambda c: sum(c) < TOKENS))
    return [draw(sequence_steps(count)) for count in counts]


@st.composite
def sequence_steps(draw: st.DrawFn, count: int) -> SequenceStep:
    cached = draw(st.integers(0, WIDTH * BLOCK_SIZE - count))
    blocks = -(-(cached + count) // BLOCK_SIZE)
    return SequenceStep(
        tokens=draw(st.lists(st.integers(0, 999), min_size=count, max_size=count)),
        cached=cached,
        blocks=draw(st.lists(st.integers(0, 99), min_size=blocks, max_size=WIDTH)),
        n_logits=draw(st.integers(0, count)),
    )


def check(batch: Batch, steps: list[SequenceStep]) -> None:
    """The batch holds these steps, and behind them nothing that a kernel would take for a part of one."""
    counts = [len(step.tokens) for step in steps]
    starts, tokens = [0, *accumulate(counts)], sum(counts)
    places = [(i, step.cached + j) for i, step in enumerate(steps) for j in range(len(step.tokens))]
    slots = [steps[i].blocks[at // BLOCK_SIZE] * BLOCK_SIZE + at % BLOCK_SIZE for i, at in places]
    padding = len(batch.tokens) - tokens
    assert batch.tokens[:tokens].tolist() == [token for step in steps for token in step.tokens]
    assert batch.positions[:tokens].tolist() == [at for _, at in places]
    assert batch.slots.tolist() == slots + [-1] * padding
    assert batch.sequence_ids.tolist() == [i for i, _ in places] + [len(batch.context_lens) - 1] * padding
    assert batch.cu_seqlens.tolist() == starts + [tokens] * (len(batch.context_lens) - len(steps))
    assert batch.context_lens[: len(steps)].tolist() == [step.cached + len(step.tokens) for step in steps]
    for i, step in enumerate(steps):
        assert batch.block_tables[i, : len(step.blocks)].tolist() == step.blocks
    firsts = [step.blocks[0] for step in steps]
    assert batch.state_slots.tolist() == firsts + [-1] * (len(batch.context_lens) - len(steps))
    rows = [row for end, step in zip(starts[1:], steps, strict=True) for row in range(end - step.n_logits, end)]
    assert batch.logit_rows[: len(rows)].tolist() == rows
    assert all(0 <= row < len(batch.tokens) for row in batch.logit_rows.tolist())


@given(steps())
def test_a_batch_has_no_more_room_than_it_needs(steps: list[SequenceStep]) -> None:
    batch = make_batch(steps, BLOCK_SIZE, CPU)
    check(batch, steps)
    counts = [len(step.tokens) for step in steps]
    assert (len(batch.tokens), len(batch.context_lens)) == (sum(counts), len(steps))
    assert (len(batch.logit_rows), batch.max_query_len) == (sum(step.n_logits for step in steps), max(counts))


def next_steps(program: list[SequenceStep]) -> list[SequenceStep]:
    """The same sequences, a token further, as most steps are."""
    return [
        step._replace(cached=step.cached + 1, blocks=[*step.blocks, 7][:WIDTH])
        for step in program
        if step.cached + 1 + len(step.tokens) <= WIDTH * BLOCK_SIZE
    ]


@settings(deadline=None)
@given(st.lists(steps(), min_size=1, max_size=6))
def test_a_buffer_holds_the_last_of_any_steps(program: list[list[SequenceStep]]) -> None:
    buffer = BatchBuffer(StepShape(SEQUENCES, TOKENS, TOKENS, 4), WIDTH, BLOCK_SIZE, CPU)
    for steps in program:
        while steps:
            buffer.fill(steps)
            check(buffer.batch, steps)
            steps = next_steps(steps)


def test_fields_lie_as_evenly_as_tensors_of_their_own() -> None:
    """Or kernels would be compiled anew for each evenness of an address."""
    batch = BatchBuffer(StepShape(3, 5, 2, 2), WIDTH, BLOCK_SIZE, CPU).batch
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 9 and all(tensor.data_ptr() % 64 == 0 for tensor in tensors)

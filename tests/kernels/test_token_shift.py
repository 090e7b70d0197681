import pytest
import torch
from kernel_testing import ACTIVATIONS, Guarded, assert_close, integers, normal
from torch import Tensor

from kernels.reference.token_shift import token_shift as oracle
from kernels.token_shift import bytes_moved, token_shift

ROWS = 5  # of a slot's state: the base and a log of four


def sequence_indices(lengths: list[int], slots: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """slots, cu_seqlens and sequence_ids."""
    ends = torch.tensor(lengths).cumsum(0).tolist()
    ids = [s for s, length in enumerate(lengths) for _ in range(length)]
    return integers(slots), integers([0, *ends]), integers(ids)


def check(
    width: int, mixes: int, dtype: torch.dtype, lengths: list[int], slots: list[int],
    read_rows: list[int], first_rows: list[int], guarded: Guarded,
) -> None:  # fmt: skip
    indices = *sequence_indices(lengths, slots), integers(read_rows), integers(first_rows)
    x, weights = normal((sum(lengths), width), dtype), normal((mixes, width), seed=1)
    shape = len(read_rows), ROWS, width
    state = guarded(shape, torch.float32).copy_(normal(shape, seed=2))
    expected_state = state.clone()
    out = guarded((mixes, *x.shape), dtype)
    expected = oracle(x, weights, expected_state, *indices, torch.empty_like(out))
    assert token_shift(x, weights, state, *indices, out) is out
    assert_close(out, expected, dtype)
    assert torch.equal(state, expected_state)


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize(("width", "mixes"), [(1, 1), (75, 6), (300, 7)])
def test_ragged_sequences(width: int, mixes: int, dtype: torch.dtype, guarded: Guarded) -> None:
    """In place, fresh, appended to a log, not kept, empty, and padding; slots out of order."""
    lengths, slots = [3, 1, 0, 2, 1, 1], [4, 0, 3, 1, -1, 2]
    check(width, mixes, dtype, lengths, slots, [0, 2, 0, 0, -1], [0, 3, -1, 0, -2], guarded)


def test_a_row_is_read_and_replaced_in_one_step(guarded: Guarded) -> None:
    check(600, 2, torch.float32, [4, 1], [1, 0], [0, 0], [0, -3], guarded)


def test_only_padding(guarded: Guarded) -> None:
    check(8, 2, torch.float32, [1, 1], [-1, -1], [0], [0], guarded)


def test_steps_do_not_change_the_result(guarded: Guarded) -> None:
    x, mixes = normal((6, 40), torch.float16), normal((3, 40), seed=1)
    whole = token_shift(
        x, mixes, torch.zeros_like(normal((1, 1, 40))), *sequence_indices([6], [0]), integers([-1]), integers([-5]),
        guarded((3, 6, 40), torch.float16),
    )  # fmt: skip
    state = normal((1, 1, 40))
    for begin, end, row in [(0, 4, -1), (4, 5, 0), (5, 6, 0)]:
        part = guarded((3, end - begin, 40), torch.float16)
        indices = *sequence_indices([end - begin], [0]), integers([row]), integers([begin + 1 - end])
        token_shift(x[begin:end], mixes, state, *indices, part)
        assert torch.equal(part, whole[:, begin:end])


def test_a_wrong_argument_is_named() -> None:
    x, mixes, state, rows = normal((2, 8)), normal((3, 8)), normal((1, 1, 8)), integers([0])
    indices, out = sequence_indices([2], [0]), normal((3, 2, 8))
    with pytest.raises(ValueError, match=r"^sequence_ids"):
        token_shift(x, mixes, state, indices[0], indices[1], rows, rows, rows, out)
    with pytest.raises(ValueError, match=r"^state"):
        token_shift(x, mixes, state.half(), *indices, rows, rows, out)
    with pytest.raises(ValueError, match=r"^out"):
        token_shift(x, mixes, state, *indices, rows, rows, out[:2])


def test_bytes_moved_are_those_of_the_tensors() -> None:
    x, mixes, out = normal((4, 8), torch.float16), normal((3, 8)), normal((3, 4, 8), torch.float16)
    kept, indices = normal((2, 2, 8)), integers([0] * 4 + [0] * 2 * 5)
    moved = sum(tensor.nbytes for tensor in (x, mixes, out, kept, indices))
    assert bytes_moved(4, 2, 8, 3, torch.float16) == moved

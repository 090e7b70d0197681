import pytest
import torch
from kernel_testing import ACTIVATIONS, INTERPRETED, Guarded, assert_close, integers, normal
from wkv7_testing import LOWEST_LOG_W, ends, random_tokens

from kernels import wkv7 as recurrent_form
from kernels import wkv7_chunked as chunked_form
from kernels.reference.wkv7 import wkv7 as oracle
from kernels.targets import target_of
from kernels.wkv7 import wkv7
from kernels.wkv7_arguments import DIRECT, FRESH
from kernels.wkv7_chunked import flops, wkv7_chunked

HEADS = 2
DELAYED = 0


def use_chunks_of(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_of(integers([0]).device)
    monkeypatch.setitem(chunked_form.META, target, chunked_form.META[target]._replace(chunk=chunk))


@pytest.mark.parametrize("dtype", ACTIVATIONS)
@pytest.mark.parametrize("head_size", [16, 32, 64])
def test_equals_oracle(head_size: int, dtype: torch.dtype, guarded: Guarded) -> None:
    lens, slots = [1, 16, 0, 21, 2, 5], [4, 1, 5, 3, -1, 0]
    modes = [DELAYED, FRESH, DIRECT, DIRECT, FRESH, FRESH]
    tokens = random_tokens(sum(lens), HEADS, head_size, dtype)
    shape = len(modes), HEADS, head_size, head_size
    state, expected_state = (guarded(shape, torch.float32).copy_(normal(shape, seed=7)) for _ in range(2))
    for memory in (state, expected_state):
        memory[torch.tensor(modes) == FRESH] = float("nan")  # memory that nobody may read
    out, expected = (guarded(tuple(tokens.r.shape), torch.float32) for _ in range(2))
    arguments = integers(slots), ends(lens), integers(modes)
    assert wkv7_chunked(*tokens, state, *arguments, out, 0) is out
    oracle(*tokens, expected_state, *arguments, expected, max(lens))
    expected[expected == 0] = float("nan")  # padding belongs to the recurrent form
    for result, wanted in ((out, expected), (state, expected_state)):
        untouched = wanted.isnan()
        assert torch.equal(result.isnan(), untouched)
        assert_close(result[~untouched], wanted[~untouched], torch.float32)


@pytest.mark.parametrize("chunk", [16, 64])
@pytest.mark.parametrize("kind", ["random", "slow", "fast", "identical keys"])
def test_holds_for_long_queries_in_double(kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use_chunks_of(chunk, monkeypatch)
    length = 70 if INTERPRETED else 150
    tokens = random_tokens(length, HEADS, 32, torch.float32)
    if kind == "identical keys":  # the system of a chunk is as ill-conditioned as it gets
        a = torch.nn.functional.normalize(normal((1, HEADS, 32)), dim=-1).expand(length, -1, -1).contiguous()
        tokens = tokens._replace(k=a, a=-a, b=a)
    if kind != "random":
        tokens.log_w.fill_({"slow": 0.0, "fast": LOWEST_LOG_W, "identical keys": -1e-3}[kind])
    state = normal((1, HEADS, 32, 32), seed=7)
    exact, expected = state.double(), tokens.r.double()
    arguments = integers([0]), ends([length]), integers([DIRECT])
    oracle(*tokens.double(), exact, *arguments, expected, length)
    out = wkv7_chunked(*tokens, state, *arguments, torch.empty_like(tokens.r), 0)
    assert_close(out, expected, torch.float32)
    assert_close(state, exact, torch.float32)


def test_wkv7_sends_only_long_queries_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoding sequence must not notice that another one prefills."""
    lens, slots, modes = [7, 8, 1, 20], [1, 3, 0, 2], [DIRECT, DIRECT, FRESH, FRESH]
    tokens = random_tokens(sum(lens), HEADS, 32, torch.float32)
    state = normal((4, HEADS, 32, 32), seed=7)
    arguments = integers(slots), ends(lens), integers(modes)
    whole, recurrent = state.clone(), state.clone()
    expected = wkv7(*tokens, recurrent, *arguments, torch.empty_like(tokens.r), 20)
    target = target_of(state.device)
    monkeypatch.setitem(recurrent_form.META, target, recurrent_form.META[target]._replace(chunk_from=8))
    out = wkv7(*tokens, whole, *arguments, torch.empty_like(tokens.r), 20)
    assert_close(out, expected, torch.float32)
    assert_close(whole, recurrent, torch.float32)
    short = [0, 1]
    assert torch.equal(whole[short], recurrent[short])
    assert torch.equal(out[:7], expected[:7])
    assert torch.equal(out[15], expected[15])
    assert not torch.equal(out[16:], expected[16:])
    snapshots = integers([-1] * sum(lens))
    again = wkv7(*tokens, state.clone(), *arguments, torch.empty_like(tokens.r), 20, snapshots)
    assert torch.equal(again, expected)


def test_flops_count_whole_chunks() -> None:
    assert flops([1, 17], heads=3, head_size=64, chunk=16) == 3 * 3 * 8 * (2 * 256 * 64 + 16 * 4096)

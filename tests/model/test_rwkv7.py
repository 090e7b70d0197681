"""RWKV_x070 as a caller of the reference class knows it."""

import ast
import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from plain_rwkv7 import plain_rwkv7
from tiny_rwkv7 import HEAD, LAYERS, VOCABULARY, WIDTH, tiny_rwkv7, write_pth
from torch import Tensor

import model.rwkv7
from model.errors import ModelFileError
from model.rwkv7 import RWKV_x070

TOKENS = [5, 9, 200, 31, 7, 77, 8, 1, 1, 30, 42, 250]
MakeModel = Callable[..., RWKV_x070]


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    path = write_pth(tmp_path_factory.mktemp("rwkv7") / "tiny.pth", tiny_rwkv7())

    def make(**other: int) -> RWKV_x070:
        sizes = {"n_layer": LAYERS, "n_embd": WIDTH, "vocab_size": VOCABULARY, "head_size": HEAD}
        return RWKV_x070(SimpleNamespace(MODEL_NAME=str(path).removesuffix(".pth"), **(sizes | other)))

    return make


@pytest.fixture(scope="module")
def x070(make_model: MakeModel) -> RWKV_x070:
    return make_model()


def assert_near(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected.float(), rtol=0, atol=3e-5 * float(expected.abs().max()))


def test_one_by_one_and_as_a_sequence(x070: RWKV_x070) -> None:
    expected, expected_state = plain_rwkv7(tiny_rwkv7(), TOKENS)
    state = None
    for token, row in zip(TOKENS, expected, strict=True):
        logits, state = x070.forward(token, state)
        assert_near(logits, row)
    all_logits, sequence_state = x070.forward(TOKENS, None, full_output=True)
    assert_near(all_logits, expected)
    last, _ = x070.forward(TOKENS, x070.generate_zero_state())
    assert_near(last, expected[-1])
    assert state is not None
    assert torch.equal(x070.forward(torch.tensor(TOKENS[0]), None)[0], x070.forward(TOKENS[:1], None)[0])
    for one, other, right in zip(state, sequence_state, expected_state, strict=True):
        assert_near(one, right)
        assert_near(other, right)


def test_a_state_is_the_callers(x070: RWKV_x070, tmp_path: Path) -> None:
    _, state = x070.forward(TOKENS[:4], None)
    kept, shared = copy.deepcopy(state), list(state)
    torch.save(state, tmp_path / "state.pt")
    first, after = x070.forward(TOKENS[4], state)
    assert after is state, "the list that was given holds the new state"
    assert all(torch.equal(a, b) for a, b in zip(shared, kept, strict=True)), "no tensor was written into"
    x070.forward([1, 2, 3], None)  # somebody else's tokens in between
    for saved in (kept, shared, torch.load(tmp_path / "state.pt")):
        again, again_after = x070.forward(TOKENS[4], saved)
        assert torch.equal(again, first)
        assert all(torch.equal(a, b) for a, b in zip(again_after, state, strict=True))


def test_a_state_may_be_edited_and_of_another_type(x070: RWKV_x070) -> None:
    _, state = x070.forward(TOKENS[:4], None)
    plain, _ = x070.forward(7, copy.deepcopy(state))
    state[1] = torch.zeros_like(state[1])
    edited, _ = x070.forward(7, copy.deepcopy(state))
    assert not torch.allclose(plain, edited)
    zero = [tensor.half() for tensor in x070.generate_zero_state()]
    assert torch.equal(x070.forward(7, zero)[0], x070.forward(7, None)[0])


def test_what_does_not_fit_is_refused(x070: RWKV_x070, make_model: MakeModel) -> None:
    with pytest.raises(ValueError, match="idx: there is no token to feed"):
        x070.forward([], None)
    with pytest.raises(ValueError, match=f"idx: token {VOCABULARY} is not in the vocabulary"):
        x070.forward([1, VOCABULARY], None)
    with pytest.raises(ValueError, match="state: must be 2 times three tensors"):
        x070.forward(1, x070.generate_zero_state()[:-1])
    with pytest.raises(ModelFileError, match=f"n_embd is {WIDTH}, not 64 as args say"):
        make_model(n_embd=64)


def test_it_needs_nothing_of_the_runtime() -> None:
    seen, waiting = set(), {"model.rwkv7"}
    source = Path(model.rwkv7.__file__).parents[1]
    while waiting:
        seen.add(name := waiting.pop())
        path = source / f"{name.replace('.', '/')}.py"
        tree = ast.parse((path if path.exists() else path.with_suffix("") / "__init__.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name and name.split(".")[0] == "runtime" for name in names), path
            waiting |= {name for name in names if name and name.split(".")[0] in ("model", "kernels")} - seen

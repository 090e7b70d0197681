"""Rotary frequencies under the scalings of model files."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import config_from_hub
from model.errors import ModelFileError
from model.rope import RopeConfig, RopeScaling, ScalingKind, frequencies, rope_table


@given(
    kind=st.sampled_from(["llama3", "yarn"]), factor=st.floats(1.5, 40), original=st.integers(256, 32768),
    theta=st.floats(1e3, 1e6),
)  # fmt: skip
def test_fast_pairs_are_kept_and_slow_ones_stretched(
    kind: ScalingKind, factor: float, original: int, theta: float
) -> None:
    plain = frequencies(RopeConfig(theta, 64, False))
    low, high = (1.0, 4.0) if kind == "llama3" else (1.0, 32.0)
    scaled = frequencies(RopeConfig(theta, 64, False, RopeScaling(kind, factor, original, low, high)))
    shrink = plain / scaled
    turns = original * plain / (2 * math.pi)
    pairs_a_turn = 1 + 32 / math.log(theta)  # yarn rounds its bounds to whole pairs
    slack = 1.0 if kind == "llama3" else math.exp(pairs_a_turn / 32 * math.log(theta))
    assert torch.allclose(shrink[turns > high * slack], torch.ones(()).double())
    assert torch.allclose(shrink[turns < low / slack], torch.tensor(factor).double())
    assert (shrink.diff() >= -1e-12).all()


def test_table_holds_cosines_then_sines() -> None:
    table = rope_table(RopeConfig(100.0, 4, True, RopeScaling("linear", 2.0)), 7)
    assert table.shape == (7, 4)
    for position in range(7):
        angles = [position / 2, position / 2 * 100**-0.5]
        expected = [*map(math.cos, angles), *map(math.sin, angles)]
        torch.testing.assert_close(table[position], torch.tensor(expected))


HUB = {
    "model_type": "llama", "vocab_size": 10, "hidden_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64, "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "rope_theta": 500.0,
}  # fmt: skip


def test_hub_spellings_of_scaling_are_one() -> None:
    scaling = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    old = config_from_hub(HUB | {"rope_scaling": scaling | {"type": "llama3"}})
    new = config_from_hub(HUB | {"rope_parameters": scaling | {"rope_type": "llama3", "rope_theta": 500.0}})
    assert old == new
    assert old.rope.scaling == RopeScaling("llama3", 8.0, 32, 1.0, 4.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model type 'mamba' is not supported"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "rope scaling 'longrope' is not supported"),
        ({"num_attention_heads": 3, "num_key_value_heads": 2}, "3 query heads cannot share 2"),
        ({"mlp_bias": True}, "a bias in the MLP is not supported"),
        ({"hidden_act": "gelu"}, "activation 'gelu' is not supported"),
        ({"vocab_size": "many"}, "many"),
        ({"max_position_embeddings": 1 << 40}, "a context of 1099511627776 tokens"),
    ],
)
def test_unsupported_configurations_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        config_from_hub(HUB | change)

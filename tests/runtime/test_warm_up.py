"""What a warm-up has captured is not captured in the first answer."""

from dataclasses import replace

import pytest
from test_small_models import assembled

from model.executor import ReplayTiming
from runtime.events import Stepped
from runtime.request import Request


@pytest.mark.parametrize("model", ["llama-1m", "rwkv7-1m"])
def test_verification_is_captured(model: str) -> None:
    """One sequence, with a repeating prompt, and at first with always the most drafts."""
    assembly = assembled(model, "speculation=ngram", "speculation.adaptive=false", "speculation.most=5")
    request = Request(tuple(assembly.loaded.encoder.encode("my lord of York, " * 30)), 40)
    assembly.warm_up([request])
    for most in (5, 1, 2, 3, 4):
        speculation = replace(assembly.config.speculation, most=most)
        trial = assembly._replace(config=replace(assembly.config, speculation=speculation))
        assembly.executor.replay_timing = ReplayTiming()
        steps = [event for event in trial.engine().serve([request]) if isinstance(event, Stepped)]
        assert any(step.drafted == most for step in steps)
        assert assembly.executor.replay_timing.steps == len(steps)

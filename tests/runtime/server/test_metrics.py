"""The figures of a server are those of its events."""

import re

from toy_model import toy_engine

from runtime.events import Preempted, Started, TokenAccepted
from runtime.request import Request
from runtime.server.metrics import ServerMetrics


def test_figures_add_up() -> None:
    engine = toy_engine(blocks=12, block_size=4, token_budget=8, max_sequences=4)
    metrics = ServerMetrics(engine)
    served = [Request((7, 8, 9, 10, 11), 20), Request((7, 8, 9, 10, 12), 20), Request((1,), 30), Request((2,), 30)]
    events = list(engine.serve(served))
    events += engine.serve([served[0]])
    number = engine.submit(Request((3,), 40))
    events += engine.step()
    engine.cancel(number)
    events += engine.step()
    for event in events:
        metrics.add(event)

    lines = re.findall(r"^(inference_\S+) (\S+)$", metrics.text().decode(), re.MULTILINE)
    found = {name: float(value) for name, value in lines if "_created" not in name and "bucket" not in name}
    tokens = sum(isinstance(event, TokenAccepted) for event in events)
    firsts = {event.request: event.reused for event in reversed(events) if isinstance(event, Started)}
    preemptions = sum(isinstance(event, Preempted) for event in events)
    assert preemptions and sum(firsts.values())
    assert found['inference_requests_total{reason="length"}'] == 5
    assert found['inference_requests_total{reason="cancelled"}'] == 1
    assert found["inference_prompt_tokens_total"] == 5 + 5 + 1 + 1 + 5 + 1
    assert found["inference_cached_tokens_total"] == sum(firsts.values())
    assert found["inference_generated_tokens_total"] == tokens
    assert found["inference_preemptions_total"] == preemptions
    assert found["inference_time_to_first_token_seconds_count"] == 6
    assert found["inference_time_per_output_token_seconds_count"] == tokens - 6
    assert found["inference_running_requests"] == found["inference_waiting_requests"] == 0
    blocks = {state: found[f'inference_blocks{{state="{state}"}}'] for state in ("free", "cached", "held")}
    assert sum(blocks.values()) == 12 and blocks["held"] == 0 and blocks["cached"] > 0
    assert not (metrics._arrived or metrics._last_token or metrics._started)  # nothing is left of any request

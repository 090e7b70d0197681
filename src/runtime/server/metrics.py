"""Figures of a running server, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from runtime.engine import Engine
from runtime.events import Event, Finished, Preempted, Started, Stepped, Submitted, TokenAccepted

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ServerMetrics:
    """An Observer of the engine, called in its thread; `text` may be called in any other."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._registry = registry = CollectorRegistry()
        self._arrived: dict[int, float] = {}  # of running requests: engine time of submission
        self._last_token: dict[int, float] = {}  # and of the last token
        self._started: set[int] = set()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"inference_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"inference_{name}_seconds", text, buckets=SECONDS, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"inference_{name}", text, labels, registry=registry)

        self._requests = counter("requests", "Finished requests", "reason")
        self._prompt_tokens = counter("prompt_tokens", "Prompt tokens of all requests")
        self._cached_tokens = counter("cached_tokens", "Of those, tokens whose memory was there already")
        self._new_tokens = counter("generated_tokens", "Tokens of answers")
        self._preemptions = counter("preemptions", "Requests that lost their memory for a while")
        self._drafted = counter("draft_tokens", "Guessed tokens that were verified")
        self._kept = counter("accepted_draft_tokens", "Of those, tokens that were right")
        self._first = histogram("time_to_first_token", "From submission to the first token")
        self._between = histogram("time_per_output_token", "From one token of an answer to the next")
        self._step = histogram("step", "One step of the engine")
        self._running = gauge("running_requests", "Requests in the batch")
        self._waiting = gauge("waiting_requests", "Requests in the queue")
        self._blocks = gauge("blocks", "Blocks of the cache", "state")

    def add(self, event: Event) -> None:
        match event:
            case Submitted():
                self._prompt_tokens.inc(event.prompt_tokens)
                self._arrived[event.request] = event.time
            case Started() if event.request not in self._started:  # else it had been preempted
                self._started.add(event.request)
                self._cached_tokens.inc(event.reused)
            case TokenAccepted():
                self._add_token(event)
            case Preempted():
                self._preemptions.inc()
            case Finished():
                self._requests.labels(event.reason.value).inc()
                self._arrived.pop(event.request)
                self._last_token.pop(event.request, None)
                self._started.discard(event.request)
                self._look()
            case Stepped():
                self._step.observe(event.seconds)
                self._drafted.inc(event.drafted)
                self._kept.inc(event.drafts_kept)
                self._look()

    def text(self) -> bytes:
        """In Prometheus' format."""
        return generate_latest(self._registry)

    def _add_token(self, event: TokenAccepted) -> None:
        self._new_tokens.inc()
        before = self._last_token.get(event.request)
        if before is None:
            self._first.observe(event.time - self._arrived[event.request])
        else:
            self._between.observe(event.time - before)
        self._last_token[event.request] = event.time

    def _look(self) -> None:
        """How things are now."""
        scheduler, ledger = self._engine.scheduler, self._engine.ledger()
        self._running.set(len(scheduler.running))
        self._waiting.set(len(scheduler.waiting))
        for state in ("free", "cached", "held"):
            self._blocks.labels(state).set(getattr(ledger, state))

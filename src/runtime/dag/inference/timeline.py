"""Which requests were in which step, and how full the cache was then."""

from collections.abc import Mapping

from runtime.dag.inference.job import Job
from runtime.dag.trace.record import MemorySample
from runtime.events import Event, Finished, Preempted, Started, Stepped, TokenAccepted
from runtime.request import FinishReason

_IN_STEPS = (FinishReason.STOP, FinishReason.LENGTH)  # what ends a request otherwise does so between two


class Timeline:
    """blocks: of the cache. began: engine time from which times count."""

    def __init__(self, blocks: int, began: float = 0.0) -> None:
        self.samples: list[MemorySample] = []
        self._blocks = blocks
        self._began = began
        self._running: set[int] = set()
        self._lengths: dict[int, int] = {}  # tokens of preempted requests
        self._steps = 0

    def add(self, events: list[Event], jobs: Mapping[int, Job]) -> None:
        """The events of one step."""
        ended: set[int] = set()
        for event in events:
            match event:
                case Started(request=number):
                    self._running.add(number)
                    if (job := jobs.get(number)) is not None:
                        tokens = self._lengths.pop(number, len(job.request.prompt))
                        job.figures.started(tokens, event.reused)
                case Preempted(request=number):
                    self._running.discard(number)
                    self._lengths[number] = event.tokens
                case TokenAccepted(request=number):
                    if (job := jobs.get(number)) is not None and job.figures.first_token is None:
                        job.figures.first_token = event.time
                case Finished(request=number):
                    (ended.add if event.reason in _IN_STEPS else self._running.discard)(number)
                    self._lengths.pop(number, None)
                case Stepped():
                    self._step(event, jobs)
        self._running -= ended

    def _step(self, event: Stepped, jobs: Mapping[int, Job]) -> None:
        size = len(self._running)
        for number in self._running & jobs.keys():
            jobs[number].figures.stepped(self._steps, size)
        held = self._blocks - event.free_blocks - event.cached_blocks
        time = event.time - self._began
        self.samples.append(MemorySample(time, self._steps, held, event.cached_blocks, event.free_blocks, size))
        self._steps += 1

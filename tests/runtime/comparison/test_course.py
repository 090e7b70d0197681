"""Figures of a trial, from its events."""

from dataclasses import fields, replace
from typing import get_args

import pytest

from runtime.comparison.course import Course, Figures
from runtime.comparison.events import Asked, Judged, TrialBegan
from runtime.comparison.result import ComparisonMetrics
from runtime.comparison.settings import Column
from runtime.comparison.table import LOOKS
from runtime.events import Event, Preempted, Started, Stepped, Submitted, TokenAccepted

EVENTS: list[Event] = [
    Asked(0.0, 0, 0, 0),
    Submitted(0.0, 0, 5),
    Started(0.0, 0, 0),
    TokenAccepted(1.0, 0, 7, ""),
    Stepped(1.0, 1.0, 0.9, 5, 0, free_blocks=6, cached_blocks=1),
    Asked(1.0, 1, 0, 1),
    Submitted(1.0, 1, 9),
    Preempted(1.5, 0, 6),
    Started(1.5, 1, 4),
    Started(2.0, 0, 6),
    TokenAccepted(2.0, 0, 8, ""),
    TokenAccepted(2.0, 0, 9, ""),
    Stepped(2.0, 1.0, 0.9, 0, 2, free_blocks=2, cached_blocks=3, drafted=4, drafts_kept=1),
    TokenAccepted(4.0, 1, 8, ""),
    Judged(4.0, 1, ("a", "b")),
    Judged(4.0, 0, ()),
]


def test_figures_add_up() -> None:
    course = Course(blocks=10)
    for event in EVENTS:
        course.add(event)
    assert course.figures() == Figures(
        answers=2, new_tokens=4, prefilled_tokens=5, reused_tokens=10, ttft_median=2.0, ttft_p95=pytest.approx(2.9),
        tpot_median=0.5, tpot_p95=0.5, longest_gap=1.0, tokens_per_second=1.0, seconds=4.0, steps=2, preemptions=1,
        drafted=4, drafts_kept=1, held_blocks=5, cached_blocks=3, valid=0.5,
    )  # fmt: skip
    assert course.first_tokens() == [1.0, 3.0]
    assert [(use.held, use.cached) for use in course.blocks_in_use()] == [(3, 1), (5, 3)]


def test_each_column_is_a_figure_with_a_heading() -> None:
    assert set(get_args(Column)) <= {field.name for field in fields(Figures)}
    assert set(LOOKS) == set(get_args(Column))


def test_the_fastest_course_is_held_against_the_first_variant() -> None:
    metrics = ComparisonMetrics(("steps", "drafts_kept", "preemptions"))
    slow = [event if not isinstance(event, TokenAccepted) else replace(event, time=9.0) for event in EVENTS]
    for events in (slow, EVENTS):
        for variant, rest in (("one", EVENTS[-4:-3]), ("two", [])):
            for event in [TrialBegan(0.0, "m", "r", variant, 10), *[e for e in events if e not in EVENTS[7:8]], *rest]:
                metrics.add(event)
    lines = metrics.conclude()
    assert [(line["variant"], line["steps"], line["seconds"]) for line in lines] == [("one", 3, 4.0), ("two", 2, 4.0)]
    assert lines[1]["ratios"] == {"steps": 2 / 3, "drafts_kept": 0.5, "preemptions": None}  # of nothing
    assert metrics.figures()["summary"]["m/r/two/steps"] == 2

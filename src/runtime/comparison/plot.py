"""The plot of a comparison, as a PNG. This module is imported only where it is used: matplotlib takes a while."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runtime.comparison.result import Result, grouped
from runtime.comparison.settings import Column, Panel
from runtime.comparison.table import LOOKS

_WIDTH, _HEIGHT, _DPI = 4.6, 3.4, 110  # inches of one panel

logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells when it looks for fonts


def draw(results: list[Result], panels: tuple[Panel, ...], path: Path) -> None:
    """One panel for each column, with bars; one for each curve and each group of variants, side by side. A variant has
    one colour in all of them."""
    groups = grouped(results)
    colours = {variant: f"C{i}" for i, variant in enumerate(dict.fromkeys(result.variant for result in results))}
    drawings: list[Callable[[Axes], None]] = []
    for panel in panels:
        if panel in _CURVES:
            drawings += [_curves(panel, group, colours) for group in groups]
        else:
            drawings.append(_bars(cast("Column", panel), groups, colours))
    columns = min(len(drawings), 3 if len(drawings) % 3 == 0 else 2)
    rows = -(-len(drawings) // columns)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for drawing, one in zip(drawings, axes, strict=False):
        drawing(one)
    for empty in axes[len(drawings) :]:
        empty.set_axis_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(colours), fontsize=8)
    figure.savefig(path)


def _bars(column: Column, groups: list[list[Result]], colours: dict[str, str]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        look = LOOKS[column]
        width, tilt = 0.8 / len(colours), 90 if len(colours) > 3 else 0
        for i, (variant, colour) in enumerate(colours.items()):
            found = [(at, r.value(column)) for at, group in enumerate(groups) for r in group if r.variant == variant]
            heights = [(value or 0.0) * look.scale for _, value in found]
            bars = axes.bar(
                [at + (i + 0.5) * width - 0.4 for at, _ in found], heights, width, color=colour, label=variant
            )
            axes.bar_label(
                bars, [f"{height:.{look.digits}f}" for height in heights], fontsize=7, rotation=tilt, padding=2
            )
        axes.set_xticks(range(len(groups)), [_title(group, groups) for group in groups], fontsize=8)
        axes.set_ylabel(look.heading)
        axes.margins(y=0.1)

    return draw


def _curves(panel: Panel, group: list[Result], colours: dict[str, str]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for result in group:
            _CURVES[panel](axes, result, colours[result.variant])
        axes.set_title(f"{group[0].model}, {group[0].requests}", fontsize=9)

    return draw


def _gaps(axes: Axes, result: Result, colour: str) -> None:
    """How large a share of the gaps between tokens is longer than so many milliseconds."""
    gaps = np.sort(result.course.gaps)[::-1] * 1e3
    axes.step(gaps, np.arange(1, len(gaps) + 1) / len(gaps), where="post", color=colour, label=result.variant)
    axes.set(xscale="log", yscale="log", xlabel="gap between tokens, ms", ylabel="share of longer gaps")


def _turns(axes: Axes, result: Result, colour: str) -> None:
    """How long each turn waits for its first token."""
    firsts = [seconds * 1e3 for seconds in result.course.first_tokens()]
    axes.plot(range(1, len(firsts) + 1), firsts, marker="o", color=colour, label=result.variant)
    axes.set(xlabel="turn", ylabel=LOOKS["ttft_median"].heading)
    axes.set_ylim(bottom=0)


def _blocks(axes: Axes, result: Result, colour: str) -> None:
    """Blocks held over time, and where a request lost its own."""
    in_use = result.course.blocks_in_use()
    times, held = [use.time for use in in_use], [use.held for use in in_use]
    axes.step(times, held, where="post", color=colour, label=result.variant)
    preempted = result.course.preempted
    axes.plot(preempted, np.interp(preempted, times, held), "x", color=colour)
    axes.set(xlabel="seconds (x: a request is preempted)", ylabel="blocks held")
    axes.set_ylim(bottom=0)


def _title(group: list[Result], groups: list[list[Result]]) -> str:
    """The model, and where there are several kinds of requests, which."""
    first = group[0]
    return first.model if len({g[0].requests for g in groups}) == 1 else f"{first.model}\n{first.requests}"


_CURVES: dict[str, Callable[[Axes, Result, str], None]] = {"gaps": _gaps, "turns": _turns, "blocks": _blocks}

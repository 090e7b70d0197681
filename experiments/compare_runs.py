"""Puts runs side by side: the settings in which they differ, and their figures.

python experiments/compare_runs.py outputs/<date>/<time>-sweep [more run or sweep folders]
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

FIGURES = {
    "prefill_tokens_per_second": "prefill tok/s",
    "decode_tokens_per_second": "decode tok/s",
    "median_time_to_first_token": "first token s",
    "peak_memory_mib": "peak MiB",
    "preemptions": "preemptions",
    "accuracy": "accuracy",
    "accuracy_per_byte": "accuracy per byte",
    "perplexity": "perplexity",
    "bits_per_byte": "bits per byte",
    "tokens_per_second": "tok/s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    folders = [path.parent for folder in parser.parse_args().folders for path in folder.rglob("metrics.json")]
    if not folders:
        parser.error("no metrics.json under these folders")
    settings = [dict(_flat(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")))) for folder in folders]
    keys = dict.fromkeys(key for setting in settings for key in setting)
    differing = [key for key in keys if len({repr(setting.get(key)) for setting in settings}) > 1]
    summaries = [json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["summary"] for folder in folders]
    names = [name for name in FIGURES if any(name in summary for summary in summaries)]
    table = Table("run", *differing, *(FIGURES[name] for name in names))
    rows = sorted(zip(folders, settings, summaries, strict=True), key=lambda row: _natural(row[0]))
    for folder, setting, summary in rows:
        figures = ["-" if summary.get(name) is None else f"{summary[name]:.4g}" for name in names]
        table.add_row("/".join(folder.parts[-2:]), *(str(setting.get(key)) for key in differing), *figures)
    Console().print(table)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for key, nested in value.items():
        yield from _flat(nested, f"{path}.{key}" if path else str(key))


def _natural(folder: Path) -> tuple[Path, int, str]:
    """Jobs of a sweep are numbered: 10 comes after 9."""
    return folder.parent, int(folder.name) if folder.name.isdigit() else -1, folder.name


if __name__ == "__main__":
    main()

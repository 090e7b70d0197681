"""Traces as files: a line of JSON for each node that has run."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.dag.errors import one_line
from runtime.dag.json_value import Json, JsonObject
from runtime.dag.trace.record import NativeInference, TraceRecord
from runtime.errors import UserError


class TraceWriter:
    """A file that gets each record as soon as there is one, so that a run that is killed leaves what it has done."""

    def __init__(self, path: Path) -> None:
        """Raises UserError if the file cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            raise UserError(f"cannot write the trace {path}: {error.strerror}") from error

    def write(self, record: TraceRecord) -> None:
        self._file.write(as_line(record))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def write_trace(path: Path, records: Iterable[TraceRecord]) -> None:
    """Raises UserError if the file cannot be written."""
    with TraceWriter(path) as writer:
        for record in records:
            writer.write(record)


def read_trace(path: Path) -> list[TraceRecord]:
    """The records of a file. Raises UserError, with the line, if it is no trace."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read the trace {path}: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            records.append(from_json(json.loads(line.decode("utf-8", "surrogatepass"))))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(f"{path}:{number}: this is no record of a trace: {_told(error)}") from error
    return records


def as_json(record: TraceRecord) -> JsonObject:
    """Under the names of all versions of the specification: what has two names is there twice."""
    return {
        "trace_id": record.trace_id,
        "number": record.number,
        "node_id": record.node_path,
        "node_path": record.node_path,
        "node_type": record.type,
        "type": record.type,
        "timestamp": record.start_time,
        "start_time": record.start_time,
        "end_time": record.end_time,
        "latency_ms": round((record.ended - record.started) * 1000, 3),
        "ctx_snapshot_available": record.ctx_snapshot_key is not None,
        **{key: _plain(value) for key, value in asdict(record).items()},
    }


def from_json(value: JsonObject) -> TraceRecord:
    """What `as_json` has made, as it was. Raises KeyError or TypeError for what it has not."""
    if not isinstance(value, dict):
        raise TypeError("it is no object")
    own = {field.name: value[field.name] for field in fields(TraceRecord) if field.name in value}
    native = value.get("native_inference")
    if native is not None:
        native = NativeInference(**{**native, "steps": tuple(native["steps"])})
    return TraceRecord(
        **{
            **own,
            "branch": tuple(value["branch"]),
            "next_paths": tuple(value.get("next_paths", ())),
            "native_inference": native,
        }
    )


def as_line(record: TraceRecord) -> bytes:
    value = as_json(record)
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass") + b"\n"


def _plain(value: Json) -> Json:
    """JSON has no words for numbers that are none: they become texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _told(error: Exception) -> str:
    return one_line(f"{error} is missing" if isinstance(error, KeyError) else str(error), 200)

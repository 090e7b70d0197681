"""SHA-256 of big files, remembered beside the file so that a pinned file is hashed once and not at every
start."""

import hashlib
from pathlib import Path


def matches_digest(path: Path, sha256: str) -> bool:
    """Whether the file at `path` has the hexadecimal SHA-256 `sha256`.

    A sum recorded by `record_digest` is believed as long as size and modification time are what they were
    then.
    """
    expected = sha256.lower()
    try:
        recorded = _record_path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        recorded = ""
    if recorded == _record(path, expected):
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == expected


def record_digest(path: Path, sha256: str) -> None:
    """Remember that `path`, as it now is, has this sum."""
    _record_path(path).write_text(_record(path, sha256.lower()), encoding="ascii")


def _record(path: Path, sha256: str) -> str:
    status = path.stat()
    return f"{sha256} {status.st_size} {status.st_mtime_ns}\n"


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")

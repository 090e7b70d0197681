"""SHA-256 of big files, noted beside a file so that a pinned one is hashed once and not at every start."""

import hashlib
from pathlib import Path


def matches_digest(path: Path, sha256: str, remember: bool) -> bool:
    """Whether the file at `path` has the hexadecimal SHA-256 `sha256`.

    remember: note a match in `<path>.sha256`; a note is believed as long as it has the file's size and time.
    """
    expected = sha256.lower()
    status = path.stat()
    note = path.with_name(path.name + ".sha256")
    line = f"{expected} {status.st_size} {status.st_mtime_ns}\n"
    if remember and note.exists() and note.read_bytes() == line.encode():
        return True
    with path.open("rb") as file:
        matches = hashlib.file_digest(file, "sha256").hexdigest() == expected
    if matches and remember:
        note.write_text(line)
    return matches

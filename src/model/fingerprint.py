"""What tells models apart whose files may have the same name, size and shapes."""

import hashlib
from pathlib import Path

from model.errors import ModelFileError

_SAMPLES, _SAMPLE_BYTES = 32, 1 << 15


def model_fingerprint(path: Path) -> str:
    """A digest of the weights at `path` (a file, a Safetensors index or the folder of a checkpoint), from samples of
    each file, spread over its length: cheap for any size, the same wherever the file lies.

    Raises ModelFileError if a file cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    is_folder = path.is_dir() or path.name.endswith(".index.json")
    digest = hashlib.sha256()
    try:
        for file in sorted(folder.glob("*.safetensors")) if is_folder else [path]:
            size = file.stat().st_size
            digest.update(b"%d\n" % size)
            with file.open("rb") as content:
                for i in range(_SAMPLES):
                    content.seek(max(0, size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
                    digest.update(content.read(_SAMPLE_BYTES))
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:16]

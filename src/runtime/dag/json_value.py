"""What a context holds."""

from typing import Any

Json = Any  # None, bool, int, float, str, list of these, dict from str to these
JsonObject = dict[str, Json]

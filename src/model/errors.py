"""The one exception of the model floor: a model that cannot be found, read or used."""


class ModelFileError(ValueError):
    """A model file (or the source that names it) is missing, damaged or of an unsupported kind.

    The message is one line that names the thing and, where there is one, the fix; callers print it as it is.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

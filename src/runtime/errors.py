"""Errors that a user can mend: each is one line that names the thing and the fix."""


class UserError(ValueError):
    """Bad input. The command line prints the message alone and exits with code 2."""


class ConfigError(UserError):
    """A setting that does not exist, has the wrong type, or lies outside its range."""


class RequestError(UserError):
    """A request that this engine cannot serve, whatever it waits for."""


class EngineBusy(RequestError):
    """A request that would be served at another time: the queue is full."""


class AnswersDiffer(Exception):
    """Two ways to compute the same answers have given different ones: no fault of the user's, but of this program, or
    of rounding. The command line prints the message alone and exits with code 1."""

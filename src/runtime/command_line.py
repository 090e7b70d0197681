"""Hydra as this project uses it: where conf/ is, and each user's error as one line and exit code 2."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints, overload

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from model.errors import ModelFileError
from runtime.config import RunConfig
from runtime.errors import AnswersDiffer, ConfigError, UserError
from runtime.typed_config import dotted_keys, read_config, unknown_key

CONF = Path(__file__).resolve().parents[2] / "conf"
SettingsT = TypeVar("SettingsT")
FAILED = 1
USER_ERROR = 2
INTERRUPTED = 130

# ${checkout:<path>} in conf/ is a file of this project, wherever a run is started.
OmegaConf.register_new_resolver("checkout", lambda path: str(CONF.parent / path), replace=True)


def hydra_application(job: Callable[[DictConfig], None], name: str = "config", root: type = RunConfig) -> None:
    """Composes conf/ with the command line and runs `job` (once, or for each point of a sweep); ends the
    process. name: of the file in conf/ that everything starts from; root: the class of what it gives.

    Exit codes: 0; 2 for a user's error, printed as one line on stderr; 1, with a line too, where answers differ that
    must not; 130 after Ctrl-C.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing several lines
    started = False

    def run(composed: DictConfig) -> None:
        nonlocal started
        started = True
        # Hydra adds a line of its own to an Exception that leaves a job, but lets SystemExit through.
        try:
            job(composed)
        except (OmegaConfBaseException, UserError, ModelFileError) as error:
            _exit_with(error, root)
        except AnswersDiffer as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(FAILED)

    run.__module__ = job.__module__  # Hydra names the job after it
    try:
        sys.argv[1:] = _ordered(sys.argv[1:])
        if not CONF.is_dir():
            raise ConfigError(f"no folder {CONF}: install the project from a checkout with pip install -e .")
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(run)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        if started and not isinstance(error, HydraException | OmegaConfBaseException):
            raise
        _exit_with(error, root)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def plain(composed: DictConfig) -> dict[str, Any]:
    """The config as plain containers, interpolations resolved. Raises OmegaConf's errors (see `explain`)."""
    settings = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    return cast("dict[str, Any]", settings)  # a DictConfig gives a dict


@overload
def compose_settings(overrides: Sequence[str]) -> RunConfig: ...


@overload
def compose_settings(overrides: Sequence[str], name: str, root: type[SettingsT]) -> SettingsT: ...


def compose_settings(overrides: Sequence[str], name: str = "config", root: type[Any] = RunConfig) -> Any:
    """The settings of `python -m runtime.run` with these overrides, or of whatever starts from another file in conf/
    (see `hydra_application`), for programs that are no job of Hydra's. Raises ConfigError, and Hydra's and OmegaConf's
    errors (see `explain`)."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return read_config(root, plain(hydra.compose(name, overrides=list(overrides))))


def recompose(changes: Sequence[str]) -> DictConfig:
    """What the command line of the running job would give if these settings stood in it, in place of others of the same
    keys. Raises Hydra's and OmegaConf's errors (see `explain`)."""
    running = HydraConfig.get()
    keys = {_key(change) for change in changes}
    kept = [override for override in running.overrides.task if _key(override) not in keys]
    return hydra.compose(running.job.config_name, [*kept, *changes])


def is_chosen(group: str) -> bool:
    """Whether the command line of the running job makes a choice in this group."""
    return any(_key(override) == group for override in HydraConfig.get().overrides.task)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _exit_with(error: Exception, root: type) -> None:
    print(f"error: {explain(error, root)}", file=sys.stderr)
    sys.exit(USER_ERROR)


def explain(error: Exception, root: type = RunConfig) -> str:
    """One line for an error of ours, of Hydra or of OmegaConf, in settings of the class `root`."""
    message = str(error).strip()
    first_line = message.partition("\n")[0]
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or first_line.rpartition(": ")[2]
        return f"{key} has no value: give it on the command line as {key}=<value>"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_choice(error.missing_cfg_file, error.options or [])
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        return f"cannot read {error.override}: quote a value with = , or brackets in it, as in '{key}=\"{value}\"'"
    if override := re.match(r"Could not override '([^']+)'", message):
        return _unknown_override(override[1], root)
    if present := re.match(r"Could not append to config\. An item is already at '([^']+)'", message):
        return f"'{present[1]}' exists already: write it without the leading +"
    if isinstance(error, UserError | ModelFileError):
        return " ".join(message.split())
    details = [line.strip() for line in message.splitlines()[1:2] if "object_type=" not in line]
    return ", ".join([first_line, *details])


def _unknown_choice(config_file: str, options: Sequence[str]) -> str:
    group, _, choice = config_file.removesuffix(".yaml").rpartition("/")
    group = group or "config"
    nearest = unknown_key(choice, options) if options else f"unknown key '{choice}'"
    hint = nearest.partition(": ")[2]
    return f"unknown choice {group}={choice}" + (f": {hint}" if hint else "")


def _unknown_override(key: str, root: type) -> str:
    known = list(dotted_keys(root))
    choices = [choice for name, choice in known if name == key and choice]
    if choices:
        return f"'{key}' needs {' or '.join(choices)}"
    groups = [*get_type_hints(root), "experiment"]
    if key in groups:
        return f"group '{key}' is not in the defaults: select it as +{key}=<choice>"
    return unknown_key(key, [name for name, _ in known] + groups)


def _ordered(arguments: list[str]) -> list[str]:
    """The arguments with options such as -m first, as Hydra wants. Raises ConfigError for unknown ones."""
    settings = [word for word in arguments if "=" in word and not word.startswith("-")]
    options = [word for word in arguments if word not in settings]
    known, unknown = get_args_parser().parse_known_args(options + settings)
    if unknown:
        raise ConfigError(f"unknown option {unknown[0]}: settings are given as key=value; --help lists them")
    for override in known.overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(f"'{override}' is no setting: write key=value; --help lists them")
    return options + settings

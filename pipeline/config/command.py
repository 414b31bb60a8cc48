"""Command lines: the settings of a section as JSON and as flags, one-line errors, the log."""

import argparse
import contextlib
import errno
import functools
import json
import logging
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config.base import Settings, is_model, union_members
from pipeline.errors import PipelineError, nearest

MACHINE_FAULTS = {
    errno.ENOSPC: "free space on this disk (temporary files go where TMPDIR says)",
    errno.EDQUOT: "free some of this disk's quota (temporary files go where TMPDIR says)",
    errno.EROFS: "make it writable or give another output",
    errno.EACCES: "make it accessible",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.EIO: "the disk is failing: copy its files to another disk",
}
"""Errors of the machine, which no input and no code causes, and their remedies."""

S = TypeVar("S", bound=Settings)

Main = Callable[..., int]

SETTINGS = "settings."
"""Prefix of the parser's attributes for settings."""

LIST = "..."
"""End of the type of a setting that takes several values."""


class SettingsParser(argparse.ArgumentParser):
    """An argument parser that adds one flag for each setting of a section, and whose errors are one line.

    The flags are added when the arguments are parsed, after all other arguments are known. A setting whose flag is
    taken by another argument gets the flag `--config.<setting>`.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Set up the parser.

        Args:
            kwargs: as for `argparse.ArgumentParser`.
        """
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **kwargs})
        self.section: tuple[type[Settings], str] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments; the values of the settings' flags are merged into `config`."""
        if self.section:
            self._add_setting_flags(*self.section)
        namespace, unknown = super().parse_known_args(args, namespace)
        values = {name: value for name, value in vars(namespace).items() if name.startswith(SETTINGS)}
        for name in values:
            delattr(namespace, name)
        settings = {name.removeprefix(SETTINGS): _flatten(value) for name, value in values.items()}
        if settings:
            namespace.config = json.dumps(_with_settings(_read_json(namespace.config), settings))
        return namespace, unknown

    def _add_setting_flags(self, section: type[Settings], name: str) -> None:
        if any(action.dest.startswith(SETTINGS) for action in self._actions):
            return
        self.usage = self.format_usage().removeprefix("usage: ").strip().replace("%", "%%") + " [SETTINGS]"
        group = self.add_argument_group(f"settings of the section `{name}`, each in place of its key in --config")
        for key, setting in list_settings(section).items():
            flag = f"--{key.replace('_', '-')}"
            is_taken = flag in self._option_string_actions
            group.add_argument(
                f"--config.{key.replace('_', '-')}" if is_taken else flag,
                dest=f"{SETTINGS}{key}",
                default=argparse.SUPPRESS,
                metavar=setting.type.removesuffix(LIST).replace("%", "%%"),
                type=_value_parser(setting.type.removesuffix(LIST)),
                nargs="+" if setting.type.endswith(LIST) else "?" if setting.type == "bool" else None,
                const=True if setting.type == "bool" else None,
                help=f"{setting.description} ({setting.default})".replace("%", "%%"),
            )

    def error(self, message: str) -> NoReturn:
        """Print the error as one line and exit with status 2; an unknown option gets the nearest known one."""
        unknown = re.search(r"unrecognized arguments: (--[^\s=]+)", message)
        hint = nearest(unknown[1], self._options()) if unknown else ""
        self.exit(2, f"error: {message}{hint} (see {self.prog} --help)\n")

    def _options(self) -> set[str]:
        """Return all options of this parser and of its sub-parsers."""
        options = {option for option in self._option_string_actions if option.startswith("--")}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                options |= {option for inner in action.choices.values() for option in inner._options()}
        return options


def build_parser(doc: str | None, **kwargs: Any) -> SettingsParser:
    """Return a parser whose description is the module's docstring, shown as written.

    Args:
        doc: the docstring.
        kwargs: as for `argparse.ArgumentParser`.
    """
    return SettingsParser(description=doc, **{"prog": _program(), **kwargs})


def _program() -> str | None:
    """Return `python -m pipeline.<stage>` if a stage runs as a module; None for the default of argparse."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec and spec.name.startswith("pipeline.") else None


def add_config(arguments: argparse.ArgumentParser, section: type[Settings], name: str) -> None:
    """Add `--config` (the stage's section as JSON or @FILE; absent keys keep their defaults) and one flag per setting.

    Args:
        arguments: the parser.
        section: the model of the section.
        name: the key of the section.
    """
    arguments.add_argument(
        "--config",
        metavar="JSON|@FILE",
        default="{}",
        help=f"the section `{name}` of the configuration as JSON, or a file with it (default: all defaults)",
    )
    if isinstance(arguments, SettingsParser):
        arguments.section = (section, name)


class SettingHelp(NamedTuple):
    """A setting as `--help` shows it.

    Attributes:
        type: the accepted values: `int`, `auto|cpu|cuda`, `float...` (one or more), `JSON`.
        description: its meaning.
        default: the default as JSON, or `required`.
    """

    type: str
    description: str
    default: str


def list_settings(model: type[BaseModel], prefix: str = "") -> dict[str, SettingHelp]:
    """Return the settings of a model, those of nested models with dots, and of all kinds of a union.

    Args:
        model: the model of a section.
        prefix: key path of the model, with a dot at the end.
    """
    settings: dict[str, SettingHelp] = {}
    kinds = [kind for kind in union_members(model) if is_model(kind)]
    for kind in kinds:
        for name, field in kind.model_fields.items():
            key = f"{prefix}{name}"
            nested = [inner for inner in union_members(field.annotation) if is_model(inner)]
            if not nested or type(None) in union_members(field.annotation):
                settings[key] = _merge_kinds(settings.get(key), _describe_setting(field))
            for inner in nested:
                for path, setting in list_settings(inner, f"{key}.").items():
                    settings[path] = _merge_kinds(settings.get(path), setting)
    order = [f"{prefix}{name}" for kind in kinds for name in kind.model_fields]
    return dict(sorted(settings.items(), key=lambda item: _position(item[0], order)))


def _merge_kinds(first: SettingHelp | None, second: SettingHelp) -> SettingHelp:
    """Return a setting that several kinds of a union have: it accepts the values of each."""
    if first is None:
        return second
    names = dict.fromkeys([*first.type.split("|"), *second.type.split("|")])
    return first._replace(type="|".join(names))


def _position(key: str, order: list[str]) -> int:
    return next(index for index, name in enumerate(order) if key == name or key.startswith(f"{name}."))


def _describe_setting(field: FieldInfo) -> SettingHelp:
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        default = default.model_dump(mode="json")
    text = "required" if field.is_required() else f"default: {json.dumps(default, default=str)}"
    return SettingHelp(_type_name(field.annotation), field.description or "", text)


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is list and (name := _type_name(get_args(annotation)[0])) in ("int", "float", "str"):
        return f"{name}{LIST}"
    names: list[str] = []
    for member in union_members(annotation):
        if get_origin(member) is Literal:
            names += [value if isinstance(value, str) else json.dumps(value) for value in get_args(member)]
        elif member is type(None):
            names.append("null")
        else:
            names.append(member.__name__ if member in (int, float, str, bool) else "JSON")
    return "|".join(dict.fromkeys(names))


def _value_parser(type_name: str) -> Callable[[str], Any]:
    """Return the function that parses the value of a flag: text for settings that accept text, JSON for others."""
    names = type_name.split("|")
    is_text = any(name not in ("int", "float", "bool", "null", "JSON") for name in names)

    def parse(text: str) -> Any:
        if is_text and text != "null" and not text.startswith("["):
            return text
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text  # the section's own check names the key and the allowed values

    return parse


def _flatten(value: Any) -> Any:
    """Return the values of a flag that takes several; they may have been given as one JSON list."""
    is_json_list = isinstance(value, list) and len(value) == 1 and isinstance(value[0], list)
    return value[0] if is_json_list else value


def _with_settings(data: Any, values: dict[str, Any]) -> Any:
    """Return plain data with other values at some key paths."""
    for key, value in values.items():
        target = data
        *parents, name = key.split(".")
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                target[parent] = {}
            target = target[parent]
        target[name] = value
    return data


def _read_json(text: str) -> Any:
    """Parse the value of `--config`.

    Raises:
        PipelineError: the file does not exist, or the text is not a JSON object.
    """
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise PipelineError(f"--config {text}: no such file")
        text = path.read_text(encoding="utf-8")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise PipelineError(f"--config: not JSON ({error}); give an object or @FILE") from None
    return data


def read_config(text: str, section: type[S], name: str) -> S:
    """Parse and check the value of `--config`.

    Args:
        text: JSON or @FILE.
        section: the model of the section.
        name: the key of the section.

    Raises:
        PipelineError: the text is not JSON, or not a valid section.
    """
    return section.parse(_read_json(text), name)


def command(function: Main) -> Main:
    """Turn `main(argv=None) -> int` into a command: a PipelineError becomes one line and status 2."""

    @functools.wraps(function)
    def run(argv: list[str] | None = None) -> int:
        logging.basicConfig(
            level=logging.INFO,
            format="%(asctime)s %(message)s",
            datefmt="%H:%M:%S",
            stream=sys.stderr,
            force=True,
        )
        try:
            with sigterm_as_exit():
                return function(argv)
        except PipelineError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except OSError as error:
            if error.errno not in MACHINE_FAULTS:
                raise
            print(f"error: {describe_os_error(error)}", file=sys.stderr)
            return 2

    return run


def describe_os_error(error: OSError) -> str:
    """Describe an error of the machine: where, what, and what to do."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}; {MACHINE_FAULTS[error.errno or 0]}, then run the same command again"


@contextlib.contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM, by which schedulers end jobs, unwind the block as Ctrl-C does, so that temporary files go."""
    installed = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if installed:
        exit_on_sigterm()
    try:
        yield
    finally:
        if installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process as `sys.exit` does, from now on."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)

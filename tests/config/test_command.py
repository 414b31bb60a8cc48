"""Command lines: flags for settings, one-line errors, ends by a signal or an error of the machine."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.command import SettingsParser, add_config, build_parser, command, list_settings, read_config
from pipeline.config.load import stages
from pipeline.errors import PipelineError
from pipeline.io.atomic import replace_atomically


def test_sigterm_removes_temporary_files_and_sets_the_status(tmp_path: Path) -> None:
    @command
    def stage(argv: list[str] | None = None) -> int:
        with replace_atomically(tmp_path / "scores.json") as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    with pytest.raises(SystemExit) as ended:
        stage([])
    assert ended.value.code == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "restored"


def test_errors_of_the_machine_are_one_line_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def stage(argv: list[str] | None = None) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "scratch/x.wav")

    assert stage([]) == 2
    output = capsys.readouterr().err
    assert output == (
        "error: scratch/x.wav: No space left on device; free space on this disk (temporary files go where TMPDIR "
        "says), then run the same command again\n"
    )


def test_other_os_errors_keep_their_traceback() -> None:
    @command
    def stage(argv: list[str] | None = None) -> int:
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file descriptor"):
        stage([])


class Clip(Section):
    frames: int = Field(16, description="frames per clip")


class Example(Section):
    """A section with settings of all kinds of types."""

    kind: Literal["a", "b"] = Field("a", description="a choice")
    batch_size: int = Field(4, ge=1, description="videos per step")
    lr: float = Field(1e-4, description="learning rate (100 % is a lot)")
    balance: bool = Field(True, description="balanced classes")
    limit: int | None = Field(None, description="largest number; null: no limit")
    splits: list[str] = Field(["train"], description="splits")
    clip: Clip = Field(Clip(), description="geometry")


def example_parser() -> SettingsParser:
    arguments = build_parser("Do something.", prog="example")
    add_config(arguments, Example, "example")
    arguments.add_argument("--splits", help="an argument of the same name as a setting")
    return arguments


def parse(*words: str) -> Example:
    return read_config(example_parser().parse_args(words).config, Example, "example")


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["--batch-size", "8"], {"batch_size": 8}),
        (["--lr", "1e-3"], {"lr": 1e-3}),
        (["--kind", "b"], {"kind": "b"}),
        (["--balance", "false"], {"balance": False}),
        (["--limit", "3"], {"limit": 3}),
        (["--clip.frames", "8"], {"clip": {"frames": 8}}),
        (["--config.splits", '["val"]', "--splits", "x"], {"splits": ["val"]}),
        (["--config", '{"batch_size": 2, "kind": "b"}', "--batch-size", "8"], {"batch_size": 8, "kind": "b"}),
    ],
)
def test_flags_of_settings_override_config(words: list[str], settings: dict[str, object]) -> None:
    assert parse(*words) == Example.parse(settings, "example")


def test_help_lists_every_setting_with_its_description_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example_parser().parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for line in ("--batch-size int videos per step (default: 4)", "--kind a|b", "100 % is a lot", "--clip.frames int"):
        assert line in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--bacth-size", "3"], "--bacth-size 3; did you mean '--batch-size'?"),
        (["--batch-size"], "--batch-size: expected one argument"),
    ],
)
def test_unknown_options_are_one_line_with_the_nearest_option(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        example_parser().parse_args(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("word", "value"), [("--batch-size", "0"), ("--lr", "fast"), ("--balance", "yes")])
def test_invalid_values_of_settings_name_the_key_and_the_value(word: str, value: str) -> None:
    with pytest.raises(PipelineError) as error:
        parse(word, value)
    assert f"example.{word.strip('-').replace('-', '_')} = " in str(error.value)
    assert value in str(error.value)


@pytest.mark.parametrize("stage", stages())
def test_every_setting_of_every_stage_has_a_description_in_its_help(stage: str) -> None:
    settings = list_settings(stages()[stage])
    assert settings
    assert all(setting.description for setting in settings.values())


def test_an_error_at_the_import_of_a_stage_is_one_line(tmp_path: Path) -> None:
    package = tmp_path / "pipeline"
    package.mkdir()
    root = Path(__file__).resolve().parents[2]
    for name in ("__init__.py", "errors.py"):
        (package / name).write_text((root / "pipeline" / name).read_text())
    (package / "stage.py").write_text(
        "from pipeline.errors import PipelineError\nraise PipelineError('a taken name')\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "pipeline.stage"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stderr) == (2, "error: a taken name\n")

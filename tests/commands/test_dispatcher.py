"""The console command `sa-tsp`."""

import importlib

import pytest

from pipeline.commands.__main__ import list_commands, main


def test_help_lists_every_command_with_its_description(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    for name, description in list_commands().items():
        assert name in output
        assert description in output
        assert description


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docter"]) == 2
    error = capsys.readouterr().err
    assert "'docter'; did you mean 'doctor'?" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", list_commands())
def test_every_command_has_a_main_and_an_example_in_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(importlib.import_module(f"pipeline.commands.{name}").main)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"sa-tsp {name}" in capsys.readouterr().out

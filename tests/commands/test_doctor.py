"""The doctor says what is used, what is missing, and how to get it."""

from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.errors import PipelineError


def test_a_machine_that_runs_these_tests_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    said = capsys.readouterr().out
    for what in ("ffmpeg", "ffmpeg encoders", "Java", "spaCy model", "GPUs", "shared memory", "disk"):
        assert what in said
    assert "missing" not in said.split()


def test_a_missing_java_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> Path:
        raise PipelineError("no Java: install a runtime")

    monkeypatch.setattr(doctor, "java", absent)
    assert doctor.main([]) == 1
    assert "missing Java" in capsys.readouterr().out


def test_an_ffmpeg_without_the_encoders_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ' A..... aac  AAC'\n")
    fake.chmod(0o755)
    monkeypatch.setattr(doctor, "ffmpeg", lambda: fake)
    assert doctor.main([]) == 1
    assert "lacks libx264" in capsys.readouterr().out

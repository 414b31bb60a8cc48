"""`sa-tsp doctor` lists what is used, what is missing, and how to install it."""

from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.errors import PipelineError


def test_doctor_finds_nothing_missing_on_a_machine_that_runs_these_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    output = capsys.readouterr().out
    for subject in ("ffmpeg", "ffmpeg encoders", "Java", "spaCy model", "GPUs", "shared memory", "disk"):
        assert subject in output
    assert "missing" not in output.split()


def test_doctor_reports_a_missing_java_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> Path:
        raise PipelineError("no Java: install a runtime")

    monkeypatch.setattr(doctor, "find_java", absent)
    assert doctor.main([]) == 1
    assert "missing Java" in capsys.readouterr().out


def test_doctor_names_the_encoders_that_ffmpeg_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho ' A..... aac  AAC'\n")
    fake.chmod(0o755)
    monkeypatch.setattr(doctor, "find_ffmpeg", lambda: fake)
    assert doctor.main([]) == 1
    assert "libx264 not available" in capsys.readouterr().out

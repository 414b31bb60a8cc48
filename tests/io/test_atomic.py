"""Atomic writes leave complete files or none; readers name the file and the place of an error."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, replace_atomically, temporary_path, write_json


def test_replace_atomically_keeps_the_old_file_if_the_write_fails(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"old": 1})

    def fail() -> None:
        with replace_atomically(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_write_json_refuses_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1, 2', "line 1 column 12.*truncated"),
        ('{"a": 1,\n "b": x}', "line 2 column 7"),
        ('{"a": 1, "a": 2}', "key 'a' occurs twice"),
        ("", "truncated"),
    ],
)
def test_read_json_locates_malformed_json(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=rf"train\.json.*{message}"):
        read_json(path, "captions")


def test_read_json_names_absent_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such captions"):
        read_json(tmp_path / "nope.json", "captions")
    (tmp_path / "binary.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(PipelineError, match="not UTF-8"):
        read_json(tmp_path / "binary.json")


def test_replace_atomically_removes_temporaries_of_dead_writers_of_the_same_file_only(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = tmp_path / "scores.json"
    of_a_dead_writer = temporary_path(path).with_name(f".scores.{dead.pid}.tmp.json")
    of_a_living_writer = temporary_path(path).with_name(f".scores.{os.getppid()}.tmp.json")
    of_another_file = temporary_path(path).with_name(f".other.scores.{dead.pid}.tmp.json")
    for temporary in (of_a_dead_writer, of_a_living_writer, of_another_file):
        temporary.write_text("half")
    write_json(path, {})
    assert sorted(tmp_path.iterdir()) == sorted([path, of_a_living_writer, of_another_file])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_replace_atomically_names_the_file_and_the_remedy_for_a_full_or_read_only_disk(
    tmp_path: Path, number: int
) -> None:
    def fail() -> None:
        with replace_atomically(tmp_path / "scores.json"):
            raise OSError(number, "message of a library")

    with pytest.raises(PipelineError, match=r"scores\.json: cannot be written \(.+\); .+ run again"):
        fail()

"""Files are whole or absent, and unreadable ones say where."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, replacing, temporary_of, write_json


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"old": 1})

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": [1, 2', "line 1 column 12.*cut short"),
        ('{"a": 1,\n "b": x}', "line 2 column 7"),
        ('{"a": 1, "a": 2}', "key 'a' stands twice"),
        ("", "cut short"),
    ],
)
def test_malformed_json_is_located(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text)
    with pytest.raises(PipelineError, match=rf"train\.json.*{said}"):
        read_json(path, "captions")


def test_absent_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no such captions"):
        read_json(tmp_path / "nope.json", "captions")
    (tmp_path / "binary.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(PipelineError, match="not UTF-8"):
        read_json(tmp_path / "binary.json")


def test_what_killed_writers_of_the_same_file_left_is_swept_and_no_other(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "scores.json"
    of_a_dead_writer = temporary_of(path).with_name(f".scores.{gone.pid}.tmp.json")
    of_a_living_writer = temporary_of(path).with_name(f".scores.{os.getppid()}.tmp.json")
    of_another_file = temporary_of(path).with_name(f".other.scores.{gone.pid}.tmp.json")
    for left in (of_a_dead_writer, of_a_living_writer, of_another_file):
        left.write_text("half")
    write_json(path, {})
    assert sorted(tmp_path.iterdir()) == sorted([path, of_a_living_writer, of_another_file])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_no_more_is_told_with_the_file_and_what_to_do(tmp_path: Path, number: int) -> None:
    def fail() -> None:
        with replacing(tmp_path / "scores.json"):
            raise OSError(number, "as libraries put it")

    with pytest.raises(PipelineError, match=r"scores\.json: cannot be written \(.+\); .+ run again"):
        fail()

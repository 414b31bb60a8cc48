"""The journal of a shard tells only of what is still true."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.journal import Journal

IDENTITY = {"settings": "a", "ffmpeg": "9.0", "code": "0"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of two finished videos, one of them rejected."""
    path = tmp_path / "finished.jsonl"
    with Journal(path, IDENTITY) as journal:
        (tmp_path / "v_ö.mp4").write_bytes(b"film")
        journal.add("v_ö", "s1", {"frames": 3}, made=True)
        journal.add("v_b", "s2", {"reason": "empty"}, made=False)
    return path


def told(path: Path, identity: dict[str, str] = IDENTITY) -> list[bool]:
    with Journal(path, identity) as journal:
        return [journal.find("v_ö", "s1") == {"frames": 3}, journal.find("v_b", "s2") == {"reason": "empty"}]


def test_what_is_finished_is_found_again(path: Path) -> None:
    assert told(path) == [True, True]


@pytest.mark.parametrize("key", IDENTITY)
def test_other_settings_ffmpeg_or_code_begin_anew(path: Path, key: str) -> None:
    assert told(path, IDENTITY | {key: "other"}) == [False, False]
    assert told(path) == [False, False], "forgotten for good: the files may be others now"


def test_another_source_is_another_video(path: Path) -> None:
    with Journal(path, IDENTITY) as journal:
        assert journal.find("v_ö", "s2") is None


@pytest.mark.parametrize("content", [None, b"fil", b"", b"frog"])
def test_a_file_that_is_not_as_it_was_written_is_not_taken(path: Path, content: bytes | None) -> None:
    if content is None:
        path.with_name("v_ö.mp4").unlink()
    else:
        path.with_name("v_ö.mp4").write_bytes(content)
    assert told(path) == [False, True]


def test_wherever_a_kill_tore_the_journal_it_is_read_up_to_there_and_goes_on(path: Path) -> None:
    whole = path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert told(path) == [size > ends[1], size > ends[2]]
        with Journal(path, IDENTITY) as journal:
            journal.add("v_c", "s3", {"frames": 1}, made=False)
        with Journal(path, IDENTITY) as journal:
            assert journal.find("v_c", "s3") == {"frames": 1}


@pytest.mark.parametrize("rubbish", [b"\xff\x00\xfe\n", b"[]\n", b"no JSON\n"])
def test_rubbish_in_the_journal_is_no_finished_video(path: Path, rubbish: bytes) -> None:
    path.write_bytes(rubbish + path.read_bytes())
    assert told(path) == [False, False]


def test_two_processes_do_not_work_on_one_shard(path: Path) -> None:
    held = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(PipelineError, match="another process is at work here"):
            Journal(path, IDENTITY)
        other.communicate(b"\n")
    assert told(path) == [True, True]

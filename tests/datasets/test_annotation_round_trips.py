"""Captions of every format become the same events of the corpus: times to 1 ms, texts word for word."""

import json
import tempfile
from pathlib import Path

import pytest
from helpers.annotation_formats import WRITERS, Event, Events
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.build_corpus import BuildCorpus
from pipeline.datasets.assemble import assemble_corpus

DURATION_MS = 4 * 3_600_000
MARKUP = {"srt": "<{}\\", "webvtt": "{}\\"}
"""Characters that begin markup in a format, and that no writer can escape."""


def texts(format_name: str) -> st.SearchStrategy[str]:
    """Draw lines of text that a person may write: any scripts, signs, numbers."""
    characters = st.characters(
        codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters=MARKUP.get(format_name, "")
    )
    line = st.text(characters, min_size=1, max_size=30).filter(lambda text: text.strip() and "-->" not in text)
    return st.lists(line | st.sampled_from(["101", "1", '"a", b; c', "WEBVTT", "NOTE"]), min_size=1, max_size=3).map(
        "\n".join
    )


def events(format_name: str) -> st.SearchStrategy[Events]:
    """Draw the events of two videos: any times to the millisecond, overlapping or not."""
    times = st.tuples(st.integers(0, DURATION_MS - 1), st.integers(1, 60_000))
    event = st.builds(
        lambda time, text: (time[0], min(time[0] + time[1], DURATION_MS), text), times, texts(format_name)
    )
    of_video = st.lists(event, min_size=1, max_size=4, unique_by=lambda event: event[:2])
    return st.fixed_dictionaries({"film 1": of_video, "film.2": of_video})


@pytest.mark.parametrize("format_name", WRITERS)
def test_the_corpus_has_the_events_of_every_format(format_name: str) -> None:
    @settings(max_examples=40)
    @given(events(format_name))
    def check(drawn: Events) -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert read_back(Path(folder), format_name, drawn) == {
                video: sorted((start, end, " ".join(text.split())) for start, end, text in of_video)
                for video, of_video in drawn.items()
            }

    check()


def read_back(folder: Path, format_name: str, drawn: Events) -> dict[str, list[Event]]:
    """Write captions, assemble the corpus, and return its events; an actions file states the durations."""
    written = WRITERS[format_name](folder / "captions", drawn)
    (folder / "videos").mkdir()
    entry = {"subset": "training", "duration": DURATION_MS / 1000, "annotations": []}
    (folder / "actions.json").write_text(json.dumps({"database": dict.fromkeys(drawn, entry)}))
    for video in drawn:
        (folder / "videos" / f"{video}.mp4").touch()
    section = {
        "actions": [str(folder / "actions.json")],
        "captions_train": None,
        "captions_val": [str(written.path)],
        "readers": {str(written.path): written.reader} if written.reader else {},
        "videos": str(folder / "videos"),
        "fractions": {"enlarged": 0.0, "val": 0.0, "test": 0.0, "train": 1.0},
    }
    tables = assemble_corpus(BuildCorpus.parse(section, "build_corpus"))
    assert tables.rejects == []
    corpus: dict[str, list[Event]] = {}
    for row in tables.captions:
        ms = [round(1000 * time) for time in (row.start, row.end)]
        assert [time / 1000 for time in ms] == pytest.approx([row.start, row.end], abs=1e-9)
        corpus.setdefault(row.video, []).append((ms[0], ms[1], row.sentence))
    return {video: sorted(of_video) for video, of_video in corpus.items()}

"""Subtitles: what players show, and what other readers read back."""

import csv
import io
import itertools

import pysubs2
import pytest
import srt
import webvtt
from helpers.model_folders import event
from hypothesis import given
from hypothesis import strategies as st

from pipeline.bundle.events import EventCaption
from pipeline.bundle.subtitles import FORMATS, MIN_CUE_MS, merge_cues

EVENTS = [event(0.0, 10.0, "a man runs"), event(2.0, 4.5, "he jumps"), event(12.3456, 14.0, "he rests")]
TIMES = st.tuples(st.floats(0, 20), st.floats(0, 20)).map(sorted)


def read(suffix: str, text: str) -> list[tuple[int, int, str]]:
    return [(cue.start, cue.end, cue.text) for cue in pysubs2.SSAFile.from_string(text, suffix)]


@pytest.mark.parametrize(("suffix", "unit_ms"), [("vtt", 1), ("ass", 10)])
def test_a_cue_is_an_event_where_players_stack_cues(suffix: str, unit_ms: int) -> None:
    cues = read(suffix, FORMATS[suffix]("v", EVENTS))
    assert [text for _, _, text in cues] == ["a man runs", "he jumps", "he rests"]
    for (start, end, _), one in zip(cues, EVENTS, strict=True):
        assert start == pytest.approx(1000 * one.start, abs=unit_ms)
        assert end == pytest.approx(1000 * one.end, abs=unit_ms)


def test_srt_shows_all_events_of_a_moment_in_one_cue() -> None:
    assert read("srt", FORMATS["srt"]("v", EVENTS)) == [
        (0, 2000, "a man runs"),
        (2000, 4500, r"a man runs\Nhe jumps"),
        (4500, 10000, "a man runs"),
        (12346, 14000, "he rests"),
    ]


def test_a_short_overlap_of_two_events_makes_no_cue_of_its_own() -> None:
    cues = merge_cues([event(0.0, 5.1, "first"), event(5.0, 9.0, "second")])
    assert [(start, end, lines) for start, end, lines in cues] == [(0, 5000, ["first"]), (5000, 9000, ["second"])]


@given(st.lists(TIMES, max_size=8))
def test_cues_of_srt_never_overlap_or_flicker_and_show_every_event(times: list[list[float]]) -> None:
    events = [event(start, end, str(number)) for number, (start, end) in enumerate(times)]
    cues = merge_cues(events)
    assert all(end - start >= MIN_CUE_MS for start, end, _ in cues)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(cues))
    assert {line for _, _, lines in cues for line in lines} == {one.sentence for one in events}
    for one in events:
        for start, end, lines in cues:
            if one.sentence in lines:  # the cue is near the event
                assert start < 1000 * one.end + 2 * MIN_CUE_MS
                assert end > 1000 * one.start - 2 * MIN_CUE_MS


def test_markup_in_a_sentence_is_text() -> None:
    sentence = r"<script>alert(1)</script> & {\an8} --> <i>x</i>"
    events = [event(0.0, 2.0, sentence)]
    vtt = FORMATS["vtt"]("v", events)
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; &amp; {\an8} --&gt; &lt;i&gt;x&lt;/i&gt;" in vtt
    assert vtt.count("-->") == 1
    assert not {"<", "{"} & set(FORMATS["srt"]("v", events))
    [line] = [line for line in FORMATS["ass"]("v", events).splitlines() if line.startswith("Dialogue")]
    assert not {"{", "\\"} & set(line)


def test_a_table_has_a_line_for_each_event() -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"]("v_a,b", [event(1.0, 2.5, 'says "no", twice')]))))
    assert rows == [
        {
            "video": "v_a,b",
            "start": "1.000",
            "end": "2.500",
            "sentence": 'says "no", twice',
            "score": "0.5",
            "log_prob": "-3.25",
            "captioner": "tiny-0",
        }
    ]


def test_other_libraries_read_the_same_cues() -> None:
    text = FORMATS["srt"]("v", EVENTS)
    cues = [(cue.start.total_seconds(), cue.end.total_seconds(), cue.content) for cue in srt.parse(text)]
    assert cues == [(start / 1000, end / 1000, line.replace(r"\N", "\n")) for start, end, line in read("srt", text)]
    text = FORMATS["vtt"]("v", EVENTS)
    captions = [
        (caption.start_in_seconds, caption.end_in_seconds, caption.text) for caption in webvtt.from_string(text)
    ]
    assert captions == [(start // 1000, end // 1000, line) for start, end, line in read("vtt", text)]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_video_without_events_has_files_without_cues(suffix: str) -> None:
    events: list[EventCaption] = []
    text = FORMATS[suffix]("v", events)
    assert text.splitlines()[1:] == [] if suffix == "csv" else read(suffix, text or "\n") == []

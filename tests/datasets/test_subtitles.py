"""SubRip and WebVTT: what cues become, and errors that name the file and the line."""

from pathlib import Path

import pytest

from pipeline.datasets.annotations import AnnotatedSegment, read_captions
from pipeline.errors import PipelineError

SRT = "1\n00:00:01,000 --> 00:00:02,500\nA man runs.\n"
WEBVTT = "WEBVTT\n\n00:01.000 --> 00:02.500\nA man runs.\n"


def read(tmp_path: Path, name: str, data: str | bytes) -> tuple[AnnotatedSegment, ...]:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    [(video, entry)] = read_captions(path).items()
    assert video == path.stem
    assert entry.duration is None
    return entry.events


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<i>A man</i> <b>runs</b>.", "A man runs."),
        ('<font color="#ff0000">A man runs.</font>', "A man runs."),
        ("{\\an8}A man runs.", "A man runs."),
        ("A man\nruns.", "A man\nruns."),
        ("A man\n\nruns.", "A man\n\nruns."),
        ("Room\n101", "Room\n101"),
        ("101", "101"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("", ""),
    ],
)
def test_the_text_of_a_cue_has_no_markup(tmp_path: Path, text: str, expected: str) -> None:
    cues = f"1\n00:00:01,000 --> 00:00:02,500\n{text}\n\n2\n00:00:03,000 --> 00:00:04,000\nnext\n"
    assert [event.text for event in read(tmp_path, "film.srt", cues)] == [expected, "next"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<v Anna>A man <c.loud>runs</c>.</v>", "A man runs."),
        ("<00:00:01.100>A <00:00:01.500>man", "A man"),
        ("Tom &amp; Anna &lt;3", "Tom & Anna <3"),
        ("- A man\n- A dog", "- A man\n- A dog"),
    ],
)
def test_the_text_of_a_webvtt_cue_has_no_markup(tmp_path: Path, text: str, expected: str) -> None:
    cues = f"WEBVTT\n\n00:01.000 --> 00:02.500 line:0 position:20%\n{text}\n"
    assert [event.text for event in read(tmp_path, "film.vtt", cues)] == [expected]


def test_comments_styles_and_identifiers_of_webvtt_are_no_text(tmp_path: Path) -> None:
    text = (
        "WEBVTT Kind: captions\nLanguage: en\n\nNOTE\na comment\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.500\nA man runs.\n\nNOTE another\n\n"
        "stop\n01:00:03.000 --> 01:00:04.000\nHe stops.\n"
    )
    assert read(tmp_path, "film.vtt", text) == (
        AnnotatedSegment(1.0, 2.5, "A man runs."),
        AnnotatedSegment(3603.0, 3604.0, "He stops."),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_unicode_files_of_every_system_are_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    data = SRT.replace("man", "Mädchen 跑").replace("\n", line_end).encode(encoding)
    assert read(tmp_path, "film.srt", data) == (AnnotatedSegment(1.0, 2.5, "A Mädchen 跑 runs."),)


def test_overlapping_and_reversed_cues_are_kept_as_written(tmp_path: Path) -> None:
    text = "00:00:01.0 --> 00:00:05.0\na\n\n0:0:2,50 --> 0:0:1,5\nb\n"
    assert read(tmp_path, "film.srt", text) == (AnnotatedSegment(1, 5, "a"), AnnotatedSegment(2.5, 1.5, "b"))


@pytest.mark.parametrize(
    ("name", "data", "facts"),
    [
        ("film.srt", SRT.replace("man", "Mädchen").encode("cp1252"), ["line 3", "UTF-8", "iconv"]),
        ("film.srt", SRT.encode("utf-16")[:-1], ["UTF-16"]),
        ("film.srt", SRT.encode("utf-16-le"), ["line 1", "NUL"]),
        ("film.srt", SRT.replace("00:00:01", "-00:00:01"), ["line 2", "-00:00:01,000"]),
        ("film.srt", SRT.replace("00:00:02,500", "00:00:02"), ["line 2", "00:00:02'"]),
        ("film.srt", SRT.replace("00:00:01", "100:00:01"), ["line 2", "100:00:01,000"]),
        ("film.srt", SRT + "\nfrom --> to\n", ["line 5", "from --> to"]),
        ("film.srt", SRT + "seen at 00:00:01,000 and 00:00:02,000\n", ["line 2", "two times"]),
        ("film.srt", "A title\n" + SRT, ["line 1", "A title"]),
        ("film.srt", "", ["no cue"]),
        ("film.vtt", SRT, ["line 1", "WEBVTT"]),
        ("film.vtt", "WEBVTT\n", ["no cue"]),
        ("film.vtt", WEBVTT.replace("00:01.000", "-00:01.000"), ["line 3", "-00:01.000"]),
        ("film.vtt", WEBVTT.replace(".", ","), ["line 3", "00:01,000"]),
        ("film.vtt", WEBVTT + "\nlost text\n", ["line 6", "lost text"]),
    ],
)
def test_an_error_names_the_file_and_the_line(tmp_path: Path, name: str, data: str | bytes, facts: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        read(tmp_path, name, data)
    for fact in [str(tmp_path / name), *facts]:
        assert fact in str(error.value)

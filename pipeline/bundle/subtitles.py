"""Captions of a video as subtitles (.srt, .vtt, .ass) and as a table (.csv).

WebVTT and SubStation Alpha have one cue for each event: browsers, and the players that draw .ass, stack cues that
overlap. Many players of SubRip show one cue at a time, so .srt has cues that do not overlap: each shows the sentences
of all events of that moment, the event that began first on top.
"""

import csv
import html
import io
import itertools
from collections.abc import Callable, Sequence

from pysubs2 import SSAEvent, SSAFile

from pipeline.bundle.events import EventCaption

MIN_CUE_MS = 500
"""Shortest time that a cue of .srt stays on screen [ms]: a shorter overlap would flicker."""

Cue = tuple[int, int, list[str]]
"""Start and end [ms], and the sentences that are shown."""


def format_vtt(video: str, events: Sequence[EventCaption]) -> str:
    """Return WebVTT: a cue for each event. Markup in a sentence stays text."""
    del video
    return _to_text("vtt", [_cue(event, html.escape(event.sentence, quote=False)) for event in events])


def format_srt(video: str, events: Sequence[EventCaption]) -> str:
    """Return SubRip: cues that do not overlap."""
    del video
    return _to_text("srt", [(start, end, list(map(_disarm_tags, lines))) for start, end, lines in merge_cues(events)])


def format_ass(video: str, events: Sequence[EventCaption]) -> str:
    """Return SubStation Alpha: a cue for each event. Braces would be commands, so they become parentheses."""
    del video
    commands = str.maketrans("{}\\", "()/")
    return _to_text("ass", [_cue(event, event.sentence.translate(commands)) for event in events])


def format_csv(video: str, events: Sequence[EventCaption]) -> str:
    """Return a table: a line for each event, times in seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "start", "end", "sentence", "score", "log_prob", "captioner"])
    for event in events:
        times = [f"{event.start:.3f}", f"{event.end:.3f}"]
        writer.writerow([video, *times, event.sentence, event.score, event.log_prob, event.captioner])
    return text.getvalue()


FORMATS: dict[str, Callable[[str, Sequence[EventCaption]], str]] = {
    "srt": format_srt,
    "vtt": format_vtt,
    "ass": format_ass,
    "csv": format_csv,
}
"""Suffix of a file -> the function that formats the events of a video."""


def merge_cues(events: Sequence[EventCaption]) -> list[Cue]:
    """Return cues that do not overlap, in time order: each shows all events of its time.

    An event is shown in at least one cue. Its start and its end may move by less than `MIN_CUE_MS`, so that no cue is
    shorter than that.
    """
    of_events = [_cue(event, event.sentence) for event in sorted(events, key=lambda event: (event.start, -event.end))]
    spans = [(start, max(end, start + MIN_CUE_MS)) for start, end, _ in of_events]
    borders = _merge_borders(sorted({time for span in spans for time in span}))
    cues: list[Cue] = [(start, end, []) for start, end in itertools.pairwise(borders)]
    for (start, end), (_, _, lines) in zip(spans, of_events, strict=True):
        overlaps = [min(end, cue[1]) - max(start, cue[0]) for cue in cues]
        longest = max(overlaps)
        for cue, overlap in zip(cues, overlaps, strict=True):
            if overlap > (cue[1] - cue[0]) / 2 or overlap == longest:
                cue[2].extend(lines)
    return [cue for cue in cues if cue[2]]


def _merge_borders(times: Sequence[int]) -> list[int]:
    """Return the times without those that come less than `MIN_CUE_MS` after another; the last one is kept."""
    borders = list(times[:1])
    for time in times[1:]:
        if time - borders[-1] >= MIN_CUE_MS:
            borders.append(time)
    if borders and borders[-1] != times[-1]:
        borders[-1] = times[-1]
    return borders


def _cue(event: EventCaption, sentence: str) -> Cue:
    return round(event.start * 1000), round(event.end * 1000), [sentence]


def _disarm_tags(sentence: str) -> str:
    """Replace the brackets of markup. SubRip has no way to write them as text."""
    return sentence.translate(str.maketrans("<>{}", "‹›()"))  # noqa: RUF001  # the characters look like < and >


def _to_text(suffix: str, cues: Sequence[Cue]) -> str:
    file = SSAFile()
    file.extend(SSAEvent(start=start, end=end, text="\\N".join(lines)) for start, end, lines in cues)
    options = {} if suffix == "ass" else {"keep_ssa_tags": True}
    return file.to_string(suffix, **options)

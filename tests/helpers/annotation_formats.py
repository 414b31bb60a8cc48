"""Write captions in every format that people use, as their programs do."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

Event = tuple[int, int, str]
"""Start and end in milliseconds, and the text."""
Events = Mapping[str, Sequence[Event]]


class Written(NamedTuple):
    """What a configuration says of written captions: a path, and a reader if the suffix does not tell."""

    path: Path
    reader: Any = None


def clock(ms: int, comma: str) -> str:
    """Return a time as subtitles write it."""
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{comma}{ms % 1000:03d}"


def write_srt(folder: Path, events: Events) -> Written:
    """Write `<id>.srt` files."""
    for video, of_video in events.items():
        cues = [
            f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{text}\n"
            for number, (start, end, text) in enumerate(of_video, start=1)
        ]
        _write(folder / f"{video}.srt", "\n".join(cues))
    return Written(folder)


def write_webvtt(folder: Path, events: Events) -> Written:
    """Write `<id>.vtt` files with comments, identifiers and settings of cues."""
    for video, of_video in events.items():
        cues = [
            f"cue {number}\n{clock(start, '.')} --> {clock(end, '.')} align:start\n{_escape(text)}\n"
            for number, (start, end, text) in enumerate(of_video, start=1)
        ]
        _write(folder / f"{video}.vtt", "\n".join(["WEBVTT - made by a test\n\nNOTE a comment\nof two lines\n", *cues]))
    return Written(folder)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write_elan(folder: Path, events: Events) -> Written:
    """Write `<id>.eaf` files with a tier of captions and another one."""
    for video, of_video in events.items():
        document = ElementTree.Element("ANNOTATION_DOCUMENT")
        header = ElementTree.SubElement(document, "HEADER", TIME_UNITS="milliseconds")
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", MEDIA_URL=f"file:///{video}.mp4", MIME_TYPE="video/mp4")
        order = ElementTree.SubElement(document, "TIME_ORDER")
        tiers = [ElementTree.SubElement(document, "TIER", TIER_ID=name) for name in ("Notes", "Captions")]
        for number, (start, end, text) in enumerate([(0, 1, "a note"), *of_video]):
            for side, time in (("s", start), ("e", end)):
                ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"{side}{number}", TIME_VALUE=str(time))
            annotation = ElementTree.SubElement(tiers[number > 0], "ANNOTATION")
            times = {"TIME_SLOT_REF1": f"s{number}", "TIME_SLOT_REF2": f"e{number}"}
            aligned = ElementTree.SubElement(
                annotation, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **times}
            )
            ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = text
        folder.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(document).write(folder / f"{video}.eaf", encoding="utf-8", xml_declaration=True)
    return Written(folder, {"name": "elan", "tier": "Captions"})


def write_csv(folder: Path, events: Events) -> Written:
    """Write a plain CSV."""
    return Written(_write_table(folder / "captions.csv", events, ",", lambda ms: f"{ms / 1000:.3f}"))


def write_tsv(folder: Path, events: Events) -> Written:
    """Write a TSV with clock times."""
    return Written(_write_table(folder / "captions.tsv", events, "\t", lambda ms: clock(ms, ".")))


def write_excel_csv(folder: Path, events: Events) -> Written:
    """Write a CSV as Excel does in countries with decimal commas: byte order mark, semicolons, CRLF."""
    path = _write_table(folder / "captions.csv", events, ";", lambda ms: f"{ms // 1000},{ms % 1000:03d}")
    text = path.read_text(encoding="utf-8")
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    return Written(path)


def _write_table(path: Path, events: Events, separator: str, time: Callable[[int], str]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(["Video", "Start", "End", "Caption"])
    for video, of_video in events.items():
        writer.writerows([f"{video}.mp4", time(start), time(end), caption] for start, end, caption in of_video)
    return _write(path, text.getvalue())


def write_label_studio(folder: Path, events: Events) -> Written:
    """Write Label Studio's export of uploaded films, with a region and a text for each event."""
    tasks = []
    for video, of_video in events.items():
        results: list[dict[str, Any]] = []
        for number, (start, end, text) in enumerate(of_video):
            times = {"start": start / 1000, "end": end / 1000, "channel": 0}
            common = {"id": f"r{number}", "to_name": "audio", "origin": "manual", "original_length": 999.0}
            results.append({**common, "type": "labels", "value": {**times, "labels": ["Event"]}})
            results.append({**common, "type": "textarea", "value": {**times, "text": [text]}})
        data = {"video": f"/data/upload/7/0123abcd-{video}.mp4"}
        tasks.append({"id": len(tasks), "data": data, "annotations": [{"result": results, "was_cancelled": False}]})
    return Written(_write(folder / "export.json", json.dumps(tasks)), "label_studio")


def write_via(folder: Path, events: Events) -> Written:
    """Write a project of VIA 3, with an attribute of boxes beside the one of segments."""
    videos = {str(number): video for number, video in enumerate(events, start=1)}
    attribute = {"aname": "caption", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}}
    project = {
        "project": {"data_format_version": "3.1.1", "vid_list": list(videos)},
        "attribute": {"1": attribute, "2": {**attribute, "aname": "box", "anchor_id": "FILE1_Z1_XY1"}},
        "file": {key: {"fid": key, "fname": f"{video}.mp4", "type": 4, "loc": 1} for key, video in videos.items()},
        "view": {key: {"fid_list": [key]} for key in videos},
        "metadata": {
            f"{key}_{number}": {"vid": key, "flg": 0, "z": [start / 1000, end / 1000], "xy": [], "av": {"1": text}}
            for key, video in videos.items()
            for number, (start, end, text) in enumerate(events[video])
        },
    }
    return Written(_write(folder / "via.json", json.dumps(project)), "via")


def write_activitynet(folder: Path, events: Events) -> Written:
    """Write ActivityNet Captions' JSON without durations."""
    data = {
        video: {
            "timestamps": [[start / 1000, end / 1000] for start, end, _ in of_video],
            "sentences": [text for _, _, text in of_video],
        }
        for video, of_video in events.items()
    }
    return Written(_write(folder / "captions.json", json.dumps(data)))


WRITERS: dict[str, Callable[[Path, Events], Written]] = {
    "srt": write_srt,
    "webvtt": write_webvtt,
    "elan": write_elan,
    "csv": write_csv,
    "tsv": write_tsv,
    "excel_csv": write_excel_csv,
    "label_studio": write_label_studio,
    "via": write_via,
    "activitynet_captions": write_activitynet,
}
"""Functions that write a folder or file of captions, by format."""


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path

"""ELAN's `.eaf`: the annotations of one tier are the events, the name of the file is the video."""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from pipeline.config.readers import ElanSettings
from pipeline.datasets.annotations import AnnotatedSegment, CaptionedVideo
from pipeline.datasets.video_ids import check_id
from pipeline.errors import PipelineError, nearest

Element = Any
"""An element of the parsed file; defusedxml has no types."""

Slots = tuple[str, str]
"""Names of the time slots where an annotation starts and ends."""


def read_elan(path: Path, settings: ElanSettings) -> dict[str, CaptionedVideo]:
    """Read a file: the video of the file's name, with the annotations of a tier in the tier's order.

    An annotation that refers to another one (translations, comments) has the times of that one.

    Raises:
        PipelineError: the file is absent or malformed, lacks the tier (names the tiers that it has), or an annotation
            has no times.
    """
    document = _parse(path)
    tiers = {tier.get("TIER_ID", ""): tier for tier in document.iter("TIER")}
    tier = tiers[_choose_tier(path, tiers, settings.tier)]
    times = _read_time_slots(path, document)
    slots = _resolve_references(document)
    events = []
    for annotation in tier.iterfind("ANNOTATION/*"):
        name = annotation.get("ANNOTATION_ID", "")
        start, end = (times.get(slot) for slot in slots.get(name, ("", "")))
        if start is None or end is None:
            raise PipelineError(f"{path}: annotation {name} has no times; align it in ELAN")
        events.append(AnnotatedSegment(start, end, annotation.findtext("ANNOTATION_VALUE") or ""))
    return {check_id(path.stem, path): CaptionedVideo(None, tuple(events))}


def _parse(path: Path) -> Element:
    try:
        document = defusedxml.ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such file") from None
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read ({error.strerror})") from None
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:  # the last two: encodings
        raise PipelineError(f"{path}: not the XML of ELAN ({error})") from None
    if document.tag != "ANNOTATION_DOCUMENT":
        raise PipelineError(f"{path}: not a file of ELAN: its XML starts with {document.tag!r}")
    return document


def _choose_tier(path: Path, tiers: dict[str, Element], name: str | None) -> str:
    """Return the tier to read: the one of the settings, or the only one with annotations."""
    counts = {tier: len(element.findall("ANNOTATION")) for tier, element in tiers.items()}
    if name is not None:
        if name not in tiers:
            raise PipelineError(f"{path}: has no tier {name!r}{nearest(name, tiers)} (all tiers: {_list(counts)})")
        return name
    full = [tier for tier, count in counts.items() if count]
    if len(full) != 1:
        raise PipelineError(
            f"{path}: {len(full)} tiers have annotations; name the one to read: `tier` of the reader elan "
            f"(all tiers: {_list(counts)})"
        )
    return full[0]


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{tier!r} with {count} annotations" for tier, count in counts.items()) or "none"


def _read_time_slots(path: Path, document: Element) -> dict[str, float]:
    """Return the times of the slots [s] in the video; a slot without a time is left out.

    ELAN skips the first `TIME_ORIGIN` milliseconds of a video that is shifted against other media.
    """
    videos = [media for media in document.iter("MEDIA_DESCRIPTOR") if "audio" not in media.get("MIME_TYPE", "")]
    try:
        offset = int(videos[0].get("TIME_ORIGIN", "0")) if videos else 0
        return {
            slot.get("TIME_SLOT_ID", ""): (int(slot.get("TIME_VALUE")) + offset) / 1000
            for slot in document.iter("TIME_SLOT")
            if slot.get("TIME_VALUE") is not None
        }
    except ValueError as error:
        raise PipelineError(f"{path}: a time is not a number of milliseconds ({error})") from None


def _resolve_references(document: Element) -> dict[str, Slots]:
    """Return the time slots of every annotation, also of those that refer to another annotation."""
    slots: dict[str, Slots] = {}
    targets: dict[str, str] = {}
    for annotation in document.iterfind("TIER/ANNOTATION/*"):
        name = annotation.get("ANNOTATION_ID", "")
        if annotation.tag == "ALIGNABLE_ANNOTATION":
            slots[name] = annotation.get("TIME_SLOT_REF1", ""), annotation.get("TIME_SLOT_REF2", "")
        else:
            targets[name] = annotation.get("ANNOTATION_REF", "")
    for name in targets:
        target, visited = name, set()
        while target in targets and target not in visited:
            visited.add(target)
            target = targets[target]
        if target in slots:
            slots[name] = slots[target]
    return slots

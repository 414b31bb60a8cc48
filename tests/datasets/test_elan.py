"""ELAN files: tiers by name, times of dependent annotations, errors that name what is there."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets.annotations import AnnotatedSegment, read_captions
from pipeline.errors import PipelineError

MEDIA = '<HEADER><MEDIA_DESCRIPTOR MEDIA_URL="file:///film.mp4" MIME_TYPE="video/mp4"/></HEADER>'
DOCUMENT = f"""<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" FORMAT="3.0">
{MEDIA}
<TIME_ORDER>
  <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2500"/>
  <TIME_SLOT TIME_SLOT_ID="ts3"/>
</TIME_ORDER>
<TIER TIER_ID="German"><ANNOTATION>
  <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
  <ANNOTATION_VALUE>Ein Mann läuft.</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="English" PARENT_REF="German"><ANNOTATION>
  <REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">
  <ANNOTATION_VALUE>A man &lt;runs&gt;.</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="Words"><ANNOTATION>
  <ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3">
  <ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="Empty"/>
</ANNOTATION_DOCUMENT>"""


def read(tmp_path: Path, text: str, **settings: Any) -> tuple[AnnotatedSegment, ...]:
    path = tmp_path / "film.eaf"
    path.write_text(text, encoding="utf-8")
    [(video, entry)] = read_captions(path, {"name": "elan", **settings}).items()
    assert video == "film"
    return entry.events


def test_a_tier_is_read_by_its_name(tmp_path: Path) -> None:
    assert read(tmp_path, DOCUMENT, tier="German") == (AnnotatedSegment(1.0, 2.5, "Ein Mann läuft."),)
    assert read(tmp_path, DOCUMENT, tier="Empty") == ()


def test_an_annotation_that_refers_to_another_one_has_its_times(tmp_path: Path) -> None:
    assert read(tmp_path, DOCUMENT, tier="English") == (AnnotatedSegment(1.0, 2.5, "A man <runs>."),)


def test_the_only_tier_with_annotations_needs_no_name(tmp_path: Path) -> None:
    start, end = DOCUMENT.index('<TIER TIER_ID="English"'), DOCUMENT.index('<TIER TIER_ID="Empty"')
    assert read(tmp_path, DOCUMENT[:start] + DOCUMENT[end:]) == (AnnotatedSegment(1.0, 2.5, "Ein Mann läuft."),)


def test_the_part_of_the_video_that_elan_skips_is_added_to_the_times(tmp_path: Path) -> None:
    shifted = DOCUMENT.replace("MIME_TYPE", 'TIME_ORIGIN="700" MIME_TYPE')
    assert read(tmp_path, shifted, tier="German") == (AnnotatedSegment(1.7, 3.2, "Ein Mann läuft."),)


@pytest.mark.parametrize(
    ("text", "settings", "facts"),
    [
        (DOCUMENT, {"tier": "english"}, ["no tier 'english'", "'German' with 1", "'English' with 1", "'Empty' with 0"]),
        (DOCUMENT, {}, ["3 tiers", "`tier`", "'German' with 1"]),
        (DOCUMENT, {"tier": "Words"}, ["annotation a3", "no times"]),
        (DOCUMENT.replace("1000", "1.5"), {"tier": "German"}, ["1.5", "milliseconds"]),
        (DOCUMENT[:300], {}, ["not the XML of ELAN"]),
        ("<html/>", {}, ["'html'"]),
        ("", {}, ["not the XML of ELAN"]),
        ('<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>', {}, ["not the XML of ELAN"]),
        (MEDIA.replace("HEADER", "ANNOTATION_DOCUMENT"), {}, ["0 tiers", "none"]),
    ],
)
def test_an_error_names_the_file_and_what_is_in_it(
    tmp_path: Path, text: str, settings: dict[str, str], facts: list[str]
) -> None:
    with pytest.raises(PipelineError) as error:
        read(tmp_path, text, **settings)
    for fact in [str(tmp_path / "film.eaf"), *facts]:
        assert fact in str(error.value)


def test_a_setting_that_elan_does_not_have_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"tiers.*did you mean 'tier'"):
        read(tmp_path, DOCUMENT, tiers="German")

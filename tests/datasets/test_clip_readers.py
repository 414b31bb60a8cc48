"""Readers of captioned clips: MSR-VTT, VATEX, plain JSON and tables; their preparation of captions; their errors."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.readers import ReaderChoice
from pipeline.datasets.annotations import CaptionedClip, read_clips
from pipeline.datasets.clip_text import clean_msrvtt, clean_vatex, split_treebank
from pipeline.datasets.vocabulary import count_vocabulary
from pipeline.errors import PipelineError

CLEANED: ReaderChoice = {"name": "msrvtt", "clean": True}
VIDEO: dict[str, Any] = {"video_id": "video0", "category": 17, "start time": 3.0, "end time": 13.5, "split": "validate"}
SENTENCE: dict[str, Any] = {"sen_id": 1, "video_id": "video0", "caption": "A man 's cooking ."}


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((shared / "golden" / "clip_captioning" / "clip_corpus.json").read_text())
    return data


def save(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_msrvtt_agrees_with_the_reference_on_tokens_splits_and_categories(
    golden: dict[str, Any], tmp_path: Path
) -> None:
    clips = read_clips(save(tmp_path / "videodatainfo.json", golden["videodatainfo"]), CLEANED)
    assert {clip: [text.split() for text in entry.captions] for clip, entry in clips.items()} == golden["tokens"]
    assert {clip: list(entry.captions) for clip, entry in clips.items()} == {
        clip: [row["caption"] for row in rows] for clip, rows in golden["references"].items()
    }
    splits = {"train": "training", "validate": "validation", "test": "testing"}
    for split, numbers in golden["split"].items():
        assert {clip for clip, entry in clips.items() if entry.subset == splits[split]} == {
            f"video{n}" for n in numbers
        }
    names = {"0": "music", "13": "animals/pets", "17": "cooking"}
    assert {clip: entry.category for clip, entry in clips.items()} == {
        f"video{number}": names[str(category)] for number, category in golden["itoc"].items()
    }


@pytest.mark.parametrize("threshold", [0, 1, 2])
def test_the_vocabulary_of_cleaned_captions_is_the_references(
    golden: dict[str, Any], tmp_path: Path, threshold: int
) -> None:
    clips = read_clips(save(tmp_path / "videodatainfo.json", golden["videodatainfo"]), CLEANED)
    training = [text for entry in clips.values() if entry.subset == "training" for text in entry.captions]
    words = count_vocabulary(training, threshold + 1, "spaces")
    expected = golden[f"vocab thr={threshold} sort=True attribute_first=False"]
    assert sorted(words) == sorted(expected)


def test_vatex_tokens_agree_with_the_reference(golden: dict[str, Any]) -> None:
    for row in golden["vatex_tokens"]["rows"]:
        assert split_treebank(row["caption"]) == row["word_tokenize"]
        assert clean_vatex(row["caption"]).split() == row["tokens"]


def test_clean_msrvtt_keeps_attached_punctuation_and_drops_tokens_of_punctuation() -> None:
    assert clean_msrvtt("The man's #1 dog ( loudly ) -. ... x-ray") == "the man's #1 dog loudly ... x-ray"


def test_msrvtt_keeps_captions_as_written_and_in_the_order_of_their_number(tmp_path: Path) -> None:
    second = SENTENCE | {"sen_id": 0, "caption": "First"}
    path = save(tmp_path / "videodatainfo.json", {"videos": [VIDEO], "sentences": [SENTENCE, second]})
    expected = CaptionedClip(("First", "A man 's cooking ."), 10.5, "validation", "cooking")
    assert read_clips(path) == {"video0": expected}


def test_msrvtt_keeps_clips_without_captions_and_categories_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "test_videodatainfo.json", {"videos": [{"video_id": "video7", "category": "bounce"}]})
    assert read_clips(path) == {"video7": CaptionedClip((), None, None, "bounce")}


@pytest.mark.parametrize(
    ("videos", "sentences", "expected"),
    [
        ([VIDEO, VIDEO], [SENTENCE], "clip video0 is listed twice"),
        ([VIDEO], [SENTENCE | {"video_id": "video9"}], r"sentences\[0\] is of clip video9"),
        ([VIDEO | {"category": 20}], [SENTENCE], "video video0: category 20"),
        ([VIDEO | {"category": -1}], [SENTENCE], "video video0: category -1"),
        ([VIDEO | {"split": "training"}], [SENTENCE], "video video0: split 'training'"),
        ([VIDEO | {"end time": 3.0}], [SENTENCE], "video video0: duration 0"),
        ([VIDEO | {"end time": "x"}], [SENTENCE], "video video0, segment 0"),
        ([{"id": 0}], [SENTENCE], r"videos\[0\] has no `video_id`"),
        ([VIDEO | {"video_id": "../a"}], [], "'../a' cannot be a video id"),
        ([VIDEO], [SENTENCE | {"caption": 3}], r"sentences\[0\] of clip video0"),
        ([VIDEO], {}, "`sentences` is not a list"),
    ],
)
def test_msrvtt_errors_name_file_and_clip(tmp_path: Path, videos: Any, sentences: Any, expected: str) -> None:
    path = save(tmp_path / "videodatainfo.json", {"videos": videos, "sentences": sentences})
    with pytest.raises(PipelineError, match=rf"videodatainfo\.json: .*{expected}"):
        read_clips(path)


def test_vatex_reads_the_duration_from_the_id(tmp_path: Path) -> None:
    entries = [{"videoID": "P_f-2V_000122_000132", "enCap": ["A man's dog."]}, {"videoID": "a_000000_000010"}]
    path = save(tmp_path / "vatex_training_v1.0.json", entries)
    assert read_clips(path) == {
        "P_f-2V_000122_000132": CaptionedClip(("A man's dog.",), 10.0),
        "a_000000_000010": CaptionedClip((), 10.0),
    }
    assert read_clips(path, {"name": "vatex", "clean": True})["P_f-2V_000122_000132"].captions == ("a man s dog",)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"videoID": "a_000000_000010", "enCap": []}] * 2, "clip a_000000_000010 is listed twice"),
        ([{"videoID": "abc", "enCap": ["x"]}], "'abc' is no id of VATEX"),
        ([{"videoID": "a_000010_000010", "enCap": ["x"]}], "'a_000010_000010' is no id of VATEX"),
        ([{"videoID": "a_000000_000010", "enCap": "x"}], "clip a_000000_000010: enCap"),
        ({"a": "x"}, "expected VATEX's JSON"),
    ],
)
def test_vatex_errors_name_file_and_clip(tmp_path: Path, entries: Any, expected: str) -> None:
    with pytest.raises(PipelineError, match=rf"a_v1\.0\.json: .*{expected}"):
        read_clips(save(tmp_path / "a_v1.0.json", entries))


@pytest.mark.parametrize(
    "data",
    [
        {"video1": ["A dog.", "The dog."]},
        {"video1": [{"image_id": "video1", "cap_id": 0, "caption": "A dog."}, {"caption": "The dog.", "id": "video1"}]},
        [{"image_id": "video1", "caption": "A dog."}, {"image_id": "video1", "caption": "The dog."}],
        {"annotations": [{"video_id": "video1", "caption": text} for text in ("A dog.", "The dog.")]},
    ],
)
def test_clip_json_reads_the_forms_that_captioning_code_writes(tmp_path: Path, data: Any) -> None:
    assert read_clips(save(tmp_path / "c.json", data)) == {"video1": CaptionedClip(("A dog.", "The dog."))}


def test_clip_json_reads_one_caption_and_whole_numbers_as_ids(tmp_path: Path) -> None:
    assert read_clips(save(tmp_path / "a.json", {"video1": "A dog."}))["video1"].captions == ("A dog.",)
    assert read_clips(save(tmp_path / "b.json", [{"image_id": 42, "caption": "A dog."}])).keys() == {"42"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "has no captions"),
        ([{"caption": "A dog."}], "entry 0"),
        ([{"image_id": True, "caption": "A dog."}], "entry 0"),
        ({"video1": [3]}, "clip video1"),
        ({"a/b": "A dog."}, "'a/b' cannot be a video id"),
        ({"videos": [], "sentences": []}, "msrvtt"),
        ([{"videoID": "a", "enCap": ["x"]}], "vatex"),
        (3, "expected clips and captions"),
    ],
)
def test_clip_json_errors_name_the_file_and_the_entry(tmp_path: Path, data: Any, expected: str) -> None:
    with pytest.raises(PipelineError, match=rf"c\.json: .*{expected}"):
        read_clips(save(tmp_path / "c.json", data))


def test_clip_table_reads_a_row_for_each_caption(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("Clip;Caption;Split;Category;Duration\na.mp4;A dog.;val;pets;0:12\na;The dog.;val;pets;12\n")
    assert read_clips(path) == {"a": CaptionedClip(("A dog.", "The dog."), 12.0, "validation", "pets")}
    path.write_text('video_id,caption\na,"A dog, a cat."\n')
    assert read_clips(path) == {"a": CaptionedClip(("A dog, a cat.",))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip,words\na,A dog.\n", "has no column 'caption'"),
        ("clip,caption,split\na,A dog.,dev\n", "line 2: split 'dev'"),
        ("clip,caption,split\na,A dog.,val\na,A dog.,test\n", "line 3: clip a"),
        ("clip,caption\n", "has no row"),
    ],
)
def test_clip_table_errors_name_the_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(PipelineError, match=rf"c\.csv: {expected}"):
        read_clips(path)

"""Captions of clips: scored as pycocoevalcap scores a corpus; files of users; coverage; diversity; filled clips."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.datasets.clip_text import clean_msrvtt
from pipeline.datasets.vocabulary import Vocabulary, count_vocabulary
from pipeline.errors import PipelineError
from pipeline.evaluate import main
from pipeline.evaluation.clip_files import known_captions, read_clip_predictions, read_clip_references
from pipeline.evaluation.clips import score_clips
from pipeline.evaluation.diversity import diversity
from pipeline.evaluation.meteor import Meteor, best_references

REFERENCES = {
    "video1": ("a man is cooking food", "a chef cooks in a kitchen"),
    "video2": ("two dogs play in the snow", "dogs playing", "a dog runs in snow"),
    "video3": ("a café at night", "people sit in a café"),
}
CAPTIONS = {"video1": "a man cooks food in a kitchen", "video3": "people in a café"}


def save(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_score_clips_equals_the_official_scorers_on_one_corpus(meteor: Meteor) -> None:
    got = score_clips(CAPTIONS, REFERENCES, meteor)
    captions = {clip: [CAPTIONS.get(clip, "")] for clip in REFERENCES}
    references = {clip: list(texts) for clip, texts in REFERENCES.items()}
    bleu, _ = Bleu(4).compute_score(references, captions, verbose=0)
    assert [got[f"Bleu_{order}"] for order in range(1, 5)] == pytest.approx(bleu, rel=1e-12)
    cider, ciders = Cider().compute_score(references, captions)
    rouge, rouges = Rouge().compute_score(references, captions)
    assert (got["CIDEr"], got["ROUGE_L"]) == pytest.approx((cider, rouge), rel=1e-12)
    assert got["per_video"]["CIDEr"] == pytest.approx(ciders, rel=1e-12)
    assert got["per_video"]["ROUGE_L"] == pytest.approx(rouges, rel=1e-12)
    assert got["Meta_Sum"] == pytest.approx(got["Bleu_4"] + got["METEOR"] + got["ROUGE_L"] + got["CIDEr"])
    counts = ("n_clips", "n_predicted_clips", "n_missing_clips", "n_unknown_clips", "n_references")
    assert [got[name] for name in counts] == [3, 2, 1, 0, 7]


def test_score_clips_keeps_letters_that_are_not_ascii(meteor: Meteor) -> None:
    same = score_clips({"a": "a café"}, {"a": ("the café",), "b": ("a dog",)}, meteor)
    other = score_clips({"a": "a caf"}, {"a": ("the café",), "b": ("a dog",)}, meteor)
    assert same["CIDEr"] > other["CIDEr"] == 0


def test_best_references_are_the_first_of_equal_ones() -> None:
    assert best_references(np.array([0.1, 0.3, 0.3, 0.5, 0.0, 0.0]), [3, 1, 2]).tolist() == [1, 3, 4]


@pytest.mark.parametrize(("references", "expected"), [({}, "no reference clips"), ({"a": ()}, "clip a has no caption")])
def test_score_clips_refuses_empty_references(references: Any, expected: str, meteor: Meteor) -> None:
    with pytest.raises(PipelineError, match=expected):
        score_clips({"a": "a dog"}, references, meteor)


def test_novel_and_unique_captions_agree_with_the_reference(shared: Path) -> None:
    golden = json.loads((shared / "golden" / "clip_captioning" / "clip_corpus.json").read_text())
    sentences = golden["videodatainfo"]["sentences"]
    training = [clean_msrvtt(one["caption"]) for one in sentences if one["video_id"] in ("video0", "video1", "video2")]
    vocabulary = Vocabulary(count_vocabulary(training, 2, "spaces"), "spaces")
    expected = golden["diversity"]
    captions = {clip: [text] for clip, text in expected["predictions"].items()}
    got = diversity(captions, known_captions(training, vocabulary))
    assert (got["novel"], got["unique"]) == (expected["novel"], expected["unique"])
    # The reference counts an empty caption as one empty word; here it has none.
    assert got["vocabulary"] == expected["vocab"] - 1
    assert got["mean_length"] == expected["ave_length"] - 1 / len(captions)


@pytest.mark.parametrize(
    "data",
    [
        {"video1": "a dog"},
        {"video1": ["a dog"]},
        [{"image_id": "video1", "caption": "a dog"}],
        {"version": "1", "external_data": {}, "results": {"video1": [{"sentence": "a dog", "timestamp": [0, 9.5]}]}},
    ],
)
def test_predictions_are_read_in_the_forms_of_users_and_of_the_pipeline(tmp_path: Path, data: Any) -> None:
    assert read_clip_predictions(save(tmp_path / "p.json", data)) == {"video1": "a dog"}


def test_predictions_have_one_caption_for_each_clip(tmp_path: Path) -> None:
    path = save(tmp_path / "p.json", [{"image_id": "video1", "caption": "a dog"}] * 2)
    with pytest.raises(PipelineError, match=r"p\.json: clip video1 has 2 captions"):
        read_clip_predictions(path)


def test_references_of_one_subset_of_a_merged_file(tmp_path: Path) -> None:
    videos = [{"video_id": f"video{n}", "split": split} for n, split in enumerate(("train", "test"))]
    sentences = [{"sen_id": n, "video_id": f"video{n % 2}", "caption": f"Caption {n}"} for n in range(4)]
    path = save(tmp_path / "videodatainfo.json", {"videos": videos, "sentences": sentences})
    assert read_clip_references([path], EvaluateClips(subset="testing")) == {"video1": ("Caption 1", "Caption 3")}
    with pytest.raises(PipelineError, match="no clip of the subset validation"):
        read_clip_references([path], EvaluateClips(subset="validation"))
    with pytest.raises(PipelineError, match="clip video0 is in another file"):
        read_clip_references([path, path], EvaluateClips())


def run(folder: Path, *words: str, captions: Any = CAPTIONS) -> tuple[int, dict[str, Any]]:
    references, output = (
        save(folder / "r.json", {clip: list(texts) for clip, texts in REFERENCES.items()}),
        folder / "o.json",
    )
    predictions = save(folder / "p.json", captions)
    files = ["--predictions", predictions, "--references", references, "--output", output]
    status = main(["clips", *map(str, files), *words])
    return status, json.loads(output.read_text()) if output.exists() else {}


def test_evaluate_clips_writes_scores_and_the_evaluator(tmp_path: Path) -> None:
    training = save(tmp_path / "t.json", {"video9": ["People in  a café"]})
    status, result = run(tmp_path, "--training", str(training), captions=CAPTIONS | {"video8": "nobody"})
    assert status == 0
    assert (result["n_missing_clips"], result["n_unknown_clips"]) == (1, 1)
    assert result["diversity"]["novel"] == pytest.approx(2 / 3)  # one caption is of the training, one is empty
    assert result["evaluator"]["name"].startswith("clips")
    assert result["per_video"]["video"] == list(REFERENCES)


def test_the_official_count_is_reached_only_by_naming_the_file_that_fills_it(tmp_path: Path) -> None:
    others = save(tmp_path / "others.json", {"video2": "dogs playing", "video3": "not used", "video7": "unknown"})
    status, result = run(tmp_path, "--fill", str(others), "--require-complete", "true")
    assert status == 0
    assert (result["n_filled_clips"], result["n_missing_clips"]) == (1, 0)
    assert result["filled_from"]["file"] == str(others)


@pytest.mark.parametrize(
    ("captions", "words", "expected"),
    [
        (CAPTIONS, ("--require-complete", "true"), "1 of 3 reference clips have no caption (video2)"),
        ({"other": "a dog"}, (), "no clip is in the references"),
        ({}, (), "has no captions"),
    ],
)
def test_evaluate_clips_names_what_is_wrong(
    tmp_path: Path, captions: Any, words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *words, captions=captions) == (2, {})
    assert expected in capsys.readouterr().err

"""The stage generate_captions."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.caption_corpus import GRID, CaptionCorpus, write_caption_corpus
from helpers.captioners import event_lstm
from helpers.feature_files import random_features, write_feature_shard

from pipeline import generate_captions
from pipeline.captioning.bundle import METRICS, save_captioner
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.evaluation.diversity import BAD_ENDINGS
from pipeline.localization.proposals import Proposal, write_proposals
from pipeline.training.training_loop import BestCheckpoint, cpu_state_dict


@pytest.fixture
def corpus(tmp_path: Path) -> CaptionCorpus:
    return write_caption_corpus(tmp_path, {"train": 2, "test": 4}, featureless=["v_test3"])


@pytest.fixture
def captioner(corpus: CaptionCorpus, tmp_path: Path) -> Path:
    return save_untrained(corpus, tmp_path)


def save_untrained(corpus: CaptionCorpus, folder: Path) -> Path:
    """Save a captioner with its initial weights, for the features as they are now."""
    output = folder / "captioner" / "manifest.json"
    output.parent.mkdir(parents=True)
    output.with_name(METRICS).write_text("")
    captioner = event_lstm(dim=6, num_ids=Vocabulary.read(corpus.vocabulary).size, max_words=5, dropout=0.2)
    metadata = {"stage": "test", "features": ["toy"], "combination": corpus.open_streams().metadata(), "seed": 0}
    selected = BestCheckpoint(1, None, cpu_state_dict(captioner))
    save_captioner(output, captioner, corpus.vocabulary, selected, metadata)
    return output


def run(
    corpus: CaptionCorpus,
    captioner: Path,
    proposals: dict[str, list[tuple[float, float, float]]],
    *more: str,
    split: str = "test",
    **config: object,
) -> int:
    path = captioner.parents[1] / "proposals.json"
    write_proposals(
        path, {video: [Proposal(*values) for values in of_video] for video, of_video in proposals.items()}, {}
    )
    output = captioner.parents[1] / "captions.json"
    output.unlink(missing_ok=True)
    inputs = ["--captioner", str(captioner), "--proposals", str(path), "--split", split]
    settings = ["--config", json.dumps(config), "--output", str(output)]
    return generate_captions.main([*settings, *corpus.arguments(), *inputs, *more])


def read_captions(captioner: Path) -> dict[str, list[dict[str, Any]]]:
    submission = json.loads((captioner.parents[1] / "captions.json").read_text())
    assert set(submission) == {"version", "results", "external_data"}
    results: dict[str, list[dict[str, Any]]] = submission["results"]
    return results


PROPOSALS = {
    "v_test0": [(4.0, 7.0, 0.5), (1.0, 3.0, 0.9)],
    "v_test1": [(0.0, 9.0, 0.25)],
    "v_test3": [(0.0, 2.0, 1.0)],
    "v_train0": [(0.0, 2.0, 1.0)],
}


def test_generate_captions_captions_the_proposals_of_the_split(
    corpus: CaptionCorpus, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, captioner, PROPOSALS) == 0
    results = read_captions(captioner)
    assert {video: [row["timestamp"] for row in rows] for video, rows in results.items()} == {
        "v_test0": [[1.0, 3.0], [4.0, 7.0]],
        "v_test1": [[0.0, 9.0]],
    }
    assert [row["proposal_score"] for row in results["v_test0"]] == [0.9, 0.5]
    for rows in results.values():
        for row in rows:
            assert row["sentence"]
            assert row["log_prob"] < 0
    log = capsys.readouterr().err
    assert "1 of 4 videos of test have no features: v_test3" in log
    assert "1 of 3 videos of test have no proposals: v_test2" in log


DECODINGS: list[dict[str, object]] = [
    {"decoding": "greedy"},
    {"decoding": "beam", "beam": 3, "length_power": 0.5, "block_ngrams": 3},
    {"decoding": "sample", "temperature": 2.0, "seed": 4},
]


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_captions_do_not_depend_on_the_batch(
    corpus: CaptionCorpus, captioner: Path, decoding: dict[str, object]
) -> None:
    assert run(corpus, captioner, PROPOSALS, batch_videos=1, **decoding) == 0
    one_by_one = read_captions(captioner)
    assert run(corpus, captioner, PROPOSALS, batch_videos=16, **decoding) == 0
    together = read_captions(captioner)
    for video, rows in one_by_one.items():
        for one, other in zip(rows, together[video], strict=True):
            assert one["sentence"] == other["sentence"]
            assert one["log_prob"] == pytest.approx(other["log_prob"], abs=1e-4)


def test_sampled_captions_depend_on_the_seed(corpus: CaptionCorpus, captioner: Path) -> None:
    results = []
    for seed in (1, 2, 1):  # a run with the same seed right after the first would publish the same captions again
        assert run(corpus, captioner, PROPOSALS, decoding="sample", seed=seed) == 0
        results.append(read_captions(captioner))
    assert results[0] == results[2] != results[1]


@pytest.mark.parametrize("decoding", DECODINGS, ids=str)
def test_no_decoding_gives_a_bad_ending(corpus: CaptionCorpus, captioner: Path, decoding: dict[str, object]) -> None:
    assert run(corpus, captioner, PROPOSALS, **decoding) == 0
    for rows in read_captions(captioner).values():
        for row in rows:
            words = row["sentence"].split()
            assert words[-1] not in BAD_ENDINGS or BAD_ENDINGS.issuperset(words)


def test_block_ngrams_of_two_words_is_refused(
    corpus: CaptionCorpus, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, captioner, PROPOSALS, block_ngrams=2) == 2
    assert "block_ngrams must be 0, or at least 3" in capsys.readouterr().err


def test_an_event_of_no_length_is_captioned(corpus: CaptionCorpus, captioner: Path) -> None:
    assert run(corpus, captioner, {"v_test0": [(3.0, 3.0, 1.0), (0.0, 0.0, 1.0)]}) == 0
    assert [row["timestamp"] for row in read_captions(captioner)["v_test0"]] == [[0.0, 0.0], [3.0, 3.0]]


def test_features_of_other_weights_or_size_are_refused(
    corpus: CaptionCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    durations = corpus.open_features().videos

    def extract(weights: str, dim: int = 6) -> None:
        rows = {video: random_features(int(seconds), dim=dim) for video, seconds in durations.items()}
        write_feature_shard(corpus.features, rows, 0, "toy", GRID, weights_sha256=weights)

    extract("aaa")
    captioner = save_untrained(corpus, tmp_path / "other")
    assert run(corpus, captioner, PROPOSALS) == 0
    for weights, dim, message in (
        ("bbb", 6, "weights_sha256 is 'bbb', expected 'aaa'"),
        ("aaa", 4, "dim is 4, expected"),
    ):
        extract(weights, dim)
        assert run(corpus, captioner, PROPOSALS) == 2
        assert message in capsys.readouterr().err
        assert not (captioner.parents[1] / "captions.json").exists()


def test_control_keeps_times_and_changes_features(corpus: CaptionCorpus, captioner: Path) -> None:
    assert run(corpus, captioner, PROPOSALS) == 0
    captions = read_captions(captioner)
    assert run(corpus, captioner, PROPOSALS, "--control") == 0
    control = read_captions(captioner)
    assert captions.keys() == control.keys()
    for video, rows in captions.items():
        for one, other in zip(rows, control[video], strict=True):
            assert one["timestamp"] == other["timestamp"]
            assert one["log_prob"] != other["log_prob"]


def test_control_of_one_video_uses_any_other_video(corpus: CaptionCorpus, captioner: Path) -> None:
    assert run(corpus, captioner, {"v_test1": [(0.0, 9.0, 1.0)]}, "--control") == 0
    assert list(read_captions(captioner)) == ["v_test1"]


def test_control_needs_a_second_video(tmp_path: Path, captioner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    single = write_caption_corpus(tmp_path / "lone", {"test": 1})
    assert run(single, captioner, {"v_test0": [(0.0, 2.0, 1.0)]}, "--control") == 2
    assert "second video" in capsys.readouterr().err


def test_proposals_after_the_end_of_the_video_are_refused(
    corpus: CaptionCorpus, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, captioner, {"v_test0": [(0.0, 240.0, 1.0)]}) == 2
    error = capsys.readouterr().err
    assert "v_test0" in error
    assert "240.00 s" in error


def test_proposals_may_end_up_to_a_second_after_the_video(corpus: CaptionCorpus, captioner: Path) -> None:
    duration = corpus.open_features().videos["v_test0"]
    assert run(corpus, captioner, {"v_test0": [(duration, duration + 0.5, 1.0)]}) == 0
    assert read_captions(captioner)["v_test0"][0]["timestamp"] == [duration, duration + 0.5]


def test_a_split_without_proposals_is_an_error(
    corpus: CaptionCorpus, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(corpus, captioner, {"v_train0": [(0.0, 2.0, 1.0)]}) == 2
    assert "no video of the split test has both proposals and features" in capsys.readouterr().err

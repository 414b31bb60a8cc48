"""Captioning proposals, as a command."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.caption_corpus import GRID, Small, write_small
from helpers.feature_files import made, shard

from pipeline import generate_captions
from pipeline.captioning.bundle import METRICS, save_captioner
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.evaluation.diversity import BAD_ENDINGS
from pipeline.localization.proposals import Proposal, write_proposals
from pipeline.training.seeds import seed_all
from pipeline.training.trainer import Selected, copy_of


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path, {"train": 2, "test": 4}, featureless=["v_test3"])


@pytest.fixture
def captioner(small: Small, tmp_path: Path) -> Path:
    return untrained(small, tmp_path)


def untrained(small: Small, folder: Path) -> Path:
    """A captioner that knows nothing yet, made for the features as they are now."""
    output = folder / "captioner" / "manifest.json"
    output.parent.mkdir(parents=True)
    output.with_name(METRICS).write_text("")
    seed_all("any")
    made = Captioner(Architecture(6, 16, Vocabulary.read(small.vocabulary).size, 5, 0.2))
    facts = {"stage": "test", "features": ["toy"], "combination": small.open_features().facts(), "seed": 0}
    save_captioner(output, made, small.vocabulary, Selected(1, None, copy_of(made)), facts)
    return output


def run(
    small: Small,
    captioner: Path,
    proposals: dict[str, list[tuple[float, float, float]]],
    *more: str,
    split: str = "test",
    **config: object,
) -> int:
    path = captioner.parents[1] / "proposals.json"
    write_proposals(path, {video: [Proposal(*one) for one in found] for video, found in proposals.items()}, {})
    output = captioner.parents[1] / "captions.json"
    output.unlink(missing_ok=True)
    what = ["--captioner", str(captioner), "--proposals", str(path), "--split", split]
    settings = ["--config", json.dumps(config), "--output", str(output)]
    return generate_captions.main([*settings, *small.arguments(), *what, *more])


def captions(captioner: Path) -> dict[str, list[dict[str, Any]]]:
    written = json.loads((captioner.parents[1] / "captions.json").read_text())
    assert set(written) == {"version", "results", "external_data"}
    found: dict[str, list[dict[str, Any]]] = written["results"]
    return found


PROPOSALS = {
    "v_test0": [(4.0, 7.0, 0.5), (1.0, 3.0, 0.9)],
    "v_test1": [(0.0, 9.0, 0.25)],
    "v_test3": [(0.0, 2.0, 1.0)],
    "v_train0": [(0.0, 2.0, 1.0)],
}


def test_proposals_of_the_split_are_captioned(
    small: Small, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(small, captioner, PROPOSALS) == 0
    said = captions(captioner)
    assert {video: [row["timestamp"] for row in rows] for video, rows in said.items()} == {
        "v_test0": [[1.0, 3.0], [4.0, 7.0]],
        "v_test1": [[0.0, 9.0]],
    }
    assert [row["proposal_score"] for row in said["v_test0"]] == [0.9, 0.5]
    for rows in said.values():
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


@pytest.mark.parametrize("how", DECODINGS, ids=str)
def test_batches_do_not_matter(small: Small, captioner: Path, how: dict[str, object]) -> None:
    assert run(small, captioner, PROPOSALS, batch_videos=1, **how) == 0
    one_by_one = captions(captioner)
    assert run(small, captioner, PROPOSALS, batch_videos=16, **how) == 0
    together = captions(captioner)
    for video, rows in one_by_one.items():
        for one, other in zip(rows, together[video], strict=True):
            assert one["sentence"] == other["sentence"]
            assert one["log_prob"] == pytest.approx(other["log_prob"], abs=1e-4)


def test_seeds_draw_other_captions(small: Small, captioner: Path) -> None:
    said = []
    for seed in (1, 1, 2):
        assert run(small, captioner, PROPOSALS, decoding="sample", seed=seed) == 0
        said.append(captions(captioner))
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize("how", DECODINGS, ids=str)
def test_no_caption_ends_badly_however_it_is_decoded(small: Small, captioner: Path, how: dict[str, object]) -> None:
    assert run(small, captioner, PROPOSALS, **how) == 0
    for rows in captions(captioner).values():
        for row in rows:
            words = row["sentence"].split()
            assert words[-1] not in BAD_ENDINGS or BAD_ENDINGS.issuperset(words)


def test_rows_of_two_words_may_repeat(small: Small, captioner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(small, captioner, PROPOSALS, block_ngrams=2) == 2
    assert "block_ngrams must be 0, or 3 at least" in capsys.readouterr().err


def test_an_event_of_no_length_is_captioned(small: Small, captioner: Path) -> None:
    assert run(small, captioner, {"v_test0": [(3.0, 3.0, 1.0), (0.0, 0.0, 1.0)]}) == 0
    assert [row["timestamp"] for row in captions(captioner)["v_test0"]] == [[0.0, 0.0], [3.0, 3.0]]


def test_features_of_other_weights_or_size_are_refused(
    small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    durations = small.open_features().videos

    def extract(weights: str, dim: int = 6) -> None:
        rows = {video: made(int(seconds), dim=dim) for video, seconds in durations.items()}
        shard(small.features, rows, 0, "toy", GRID, weights_sha256=weights)

    extract("aaa")
    captioner = untrained(small, tmp_path / "other")
    assert run(small, captioner, PROPOSALS) == 0
    for weights, dim, said in (("bbb", 6, "weights_sha256 is 'bbb', expected 'aaa'"), ("aaa", 4, "dim is 4, expected")):
        extract(weights, dim)
        assert run(small, captioner, PROPOSALS) == 2
        assert said in capsys.readouterr().err
        assert not (captioner.parents[1] / "captions.json").exists()


def test_the_control_keeps_times_but_looks_elsewhere(small: Small, captioner: Path) -> None:
    assert run(small, captioner, PROPOSALS) == 0
    own = captions(captioner)
    assert run(small, captioner, PROPOSALS, "--control") == 0
    others = captions(captioner)
    assert own.keys() == others.keys()
    for video, rows in own.items():
        for one, other in zip(rows, others[video], strict=True):
            assert one["timestamp"] == other["timestamp"]
            assert one["log_prob"] != other["log_prob"]


def test_the_control_of_one_video_borrows_from_any_other(small: Small, captioner: Path) -> None:
    assert run(small, captioner, {"v_test1": [(0.0, 9.0, 1.0)]}, "--control") == 0
    assert list(captions(captioner)) == ["v_test1"]


def test_the_control_needs_a_second_video(tmp_path: Path, captioner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lone = write_small(tmp_path / "lone", {"test": 1})
    assert run(lone, captioner, {"v_test0": [(0.0, 2.0, 1.0)]}, "--control") == 2
    assert "second video" in capsys.readouterr().err


def test_proposals_outside_of_the_video_are_refused(
    small: Small, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(small, captioner, {"v_test0": [(0.0, 240.0, 1.0)]}) == 2
    said = capsys.readouterr().err
    assert "v_test0" in said
    assert "240.00 s" in said


def test_rounding_past_the_end_is_no_error(small: Small, captioner: Path) -> None:
    duration = small.open_features().videos["v_test0"]
    assert run(small, captioner, {"v_test0": [(duration, duration + 0.5, 1.0)]}) == 0
    assert captions(captioner)["v_test0"][0]["timestamp"] == [duration, duration + 0.5]


def test_a_split_without_proposals_is_an_error(
    small: Small, captioner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(small, captioner, {"v_train0": [(0.0, 2.0, 1.0)]}) == 2
    assert "no video of the split test has both proposals and clip features" in capsys.readouterr().err

"""The proposal generator as a proposer: targets, padding, training, the encoder of a captioner, wrong settings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.caption_corpus import CaptionCorpus, write_caption_corpus
from safetensors.torch import load_file

from pipeline import propose_events, train_captioner, train_proposer
from pipeline.config.load import load_config
from pipeline.config.train_proposer import ProposerEntry
from pipeline.errors import PipelineError
from pipeline.features.streams import FeatureStreams
from pipeline.features.time_grid import ClipGrid
from pipeline.io.atomic import read_json, sha256
from pipeline.localization.bmt.anchors import fit_anchors
from pipeline.localization.bmt.candidates import select_candidates, suppress_overlaps
from pipeline.localization.bmt.proposer import BmtProposer
from pipeline.localization.bmt.targets import RowTimes, assign_events, compute_stream_losses
from pipeline.localization.proposals import read_proposals
from pipeline.localization.proposer import open_inputs
from pipeline.localization.proposer_bundle import load_proposer
from pipeline.provenance.manifest import read_manifest

STREAMS = {"visual": ["toy"], "audio": ["audio"]}
SIZES = {"hidden": 16, "heads": 4, "layers": 2}
SMALL: dict[str, Any] = {
    "kind": "bmt",
    "features": STREAMS,
    "missing": "zeros",
    **SIZES,
    **{"visual_anchors": 3, "audio_anchors": 2, "visual_kernels": [1, 3], "audio_kernels": [3, 5]},
    **{"head_channels": [16, 16], "batch_size": 4, "lr": 0.01, "epochs": 2},
}


@pytest.fixture
def corpus(tmp_path: Path) -> CaptionCorpus:
    written = write_caption_corpus(tmp_path, {"train": 8, "val": 2, "test": 2})
    written.add_audio(reject=["v_train1", "v_test1"])
    return written


def build(corpus: CaptionCorpus, **settings: object) -> tuple[BmtProposer, Any]:
    config = ProposerEntry.parse(SMALL | settings, "x").root
    streams = FeatureStreams.open(corpus.features, STREAMS, 1, missing="zeros")
    torch.manual_seed(0)
    return BmtProposer(config, streams.dims), open_inputs(streams, 1.0)  # type: ignore[arg-type]


def train(corpus: CaptionCorpus, folder: Path, captioner: Path | None = None, **settings: object) -> int:
    paths = ["--state", str(folder / "state"), "--output", str(folder / "proposer" / "manifest.json")]
    more = ["--captioner", str(captioner)] if captioner else []
    return train_proposer.main(["--config", json.dumps(SMALL | settings), *corpus.arguments(), *paths, *more])


def train_a_captioner(corpus: CaptionCorpus, folder: Path, **settings: object) -> Path:
    config = {"architecture": "bmt", "features": STREAMS, "missing": "zeros", "embedding": 12, **SIZES}
    text = json.dumps({**config, "epochs": 1, "selection": "last", **settings})
    output = folder / "captioner" / "manifest.json"
    paths = ["--vocabulary", str(corpus.vocabulary), "--state", str(folder / "cs"), "--output", str(output)]
    assert train_captioner.main(["--config", text, *corpus.arguments(), *paths]) == 0
    return output


EVENTS = {"v_train0": [(1.0, 3.0), (4.0, 7.0)], "v_train1": [(1.0, 3.0)], "v_train4": [(4.0, 7.0), (0.0, 12.0)]}


def test_a_video_alone_has_the_candidates_that_it_has_in_a_batch(corpus: CaptionCorpus) -> None:
    proposer, inputs = build(corpus)
    proposer.fit(inputs, EVENTS)
    together = proposer.score_candidates(inputs, list(EVENTS), 7)
    for video, in_batch in zip(EVENTS, together, strict=True):
        [alone] = proposer.score_candidates(inputs, [video], 7)
        np.testing.assert_allclose(alone.scores, in_batch.scores, atol=1e-5)
        np.testing.assert_allclose(alone.segments, in_batch.segments, atol=1e-4)
        assert len(alone.scores) == 7
        assert (np.diff(alone.scores) <= 0).all()
        assert (alone.segments >= 0).all()
        assert (alone.segments <= inputs.duration(video)).all()


def test_losses_of_a_batch_do_not_depend_on_padding(corpus: CaptionCorpus) -> None:
    proposer, inputs = build(corpus, dropout=0.0)
    proposer.fit(inputs, EVENTS)
    losses = {video: proposer.compute_losses(inputs, {video: EVENTS[video]}) for video in ("v_train0", "v_train4")}
    both = proposer.compute_losses(inputs, {video: EVENTS[video] for video in losses})
    # Both have two positives in each stream, so that the mean over the batch is the mean of the means.
    for part in ("audio_offset", "audio_length", "audio_positive", "visual_offset", "visual_length", "visual_positive"):
        mean = sum(loss.parts[part].item() for loss in losses.values()) / 2
        assert both.parts[part].item() == pytest.approx(mean, rel=1e-4), part
    assert len(both.parts) == 8


def test_a_stream_that_a_video_lacks_has_no_targets_and_no_candidates(corpus: CaptionCorpus) -> None:
    proposer, inputs = build(corpus)
    proposer.fit(inputs, EVENTS)
    losses = proposer.compute_losses(inputs, {"v_train1": EVENTS["v_train1"]})
    assert all(value == 0 for name, value in losses.parts.items() if name.startswith("audio"))
    assert all(value > 0 for name, value in losses.parts.items() if name.startswith("visual"))
    losses.total.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in proposer.network.parameters())
    [candidates] = proposer.score_candidates(inputs, ["v_train1"], 10_000)
    rows = len(inputs.streams["visual"].features("v_train1"))
    assert len(candidates.scores) <= rows * 2 * 3, "two heads with three anchors"


def test_rows_stand_for_intervals_around_the_centres_of_clips() -> None:
    assert RowTimes.of_grid(ClipGrid(fps=25.0, frames=64, stride=64)) == RowTimes(0.0, 2.56)
    overlapping = RowTimes.of_grid(ClipGrid(fps=15.0, frames=16, stride=1))
    assert overlapping.start == pytest.approx(0.5)
    assert overlapping.stride == pytest.approx(1 / 15)


def test_events_outside_the_rows_belong_to_the_last_row_and_short_ones_have_a_length() -> None:
    targets = assign_events([[(20.0, 22.0), (1.0, 1.0)]], [4], RowTimes(0.0, 1.0), np.array([0.1, 2.0]))
    assert targets.index.tolist() == [[0, 0, 1], [0, 1, 3]]
    assert targets.offset.tolist() == pytest.approx([0.0, 0.0])
    assert targets.log_length.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_padding_is_no_negative() -> None:
    predictions = torch.zeros(1, 2, 3, 6, 3)
    predictions[:, :, :, 4:, 2] = 50.0
    targets = assign_events([[(0.0, 1.0)]], [4], RowTimes(0.0, 1.0), np.array([1.0, 5.0, 9.0]))
    mask = torch.arange(6)[None] < 4
    losses = compute_stream_losses(predictions, targets, mask)
    assert losses.negative.item() == pytest.approx(2 * np.log(2), rel=1e-5)


def test_a_video_shorter_than_any_candidate_is_one_candidate() -> None:
    candidates = select_candidates(np.array([[0.05, 0.1, 0.3], [0.1, 0.1, 0.6]]), 0.15, 10, None)
    assert candidates.segments.tolist() == [[0.0, 0.15]]
    assert candidates.scores.tolist() == [0.6]


def test_suppression_keeps_the_better_of_two_that_overlap() -> None:
    segments = np.array([[0.0, 10.0, 0.9], [0.0, 5.0, 0.8], [0.0, 4.9, 0.7], [20.0, 30.0, 0.6]])
    assert suppress_overlaps(segments, 0.5)[:, 2].tolist() == [0.9, 0.7, 0.6]
    assert suppress_overlaps(segments, 1.0)[:, 2].tolist() == [0.9, 0.8, 0.7, 0.6]


def test_anchors_of_few_lengths_are_lengths() -> None:
    assert fit_anchors(np.array([3.0, 3.0]), 3).tolist() == [3.0, 3.0, 3.0]
    anchors = fit_anchors(np.array([1.0, 1.0, 9.0]), 2)
    assert anchors.tolist() == [1.0, 9.0]


def test_it_finds_the_events_of_unseen_videos(corpus: CaptionCorpus, tmp_path: Path) -> None:
    assert train(corpus, tmp_path, epochs=40, negative_weight=5.0, dropout=0.0) == 0
    metrics = [json.loads(line) for line in (tmp_path / "proposer" / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["recall@0.7"] == 1.0 > metrics[0]["recall@0.7"]
    assert {f"loss_{name}_{part}" for name in STREAMS for part in ("offset", "length", "positive", "negative")} < set(
        metrics[0]
    )
    output = tmp_path / "proposals.json"
    inputs = ["--proposer", str(tmp_path / "proposer" / "manifest.json"), "--output", str(output)]
    selection = json.dumps({"kind": "learned", "max_proposals": 4})
    assert propose_events.main(["--config", selection, *corpus.arguments(), *inputs]) == 0
    proposals = read_proposals(output)
    assert set(proposals) >= {"v_test0", "v_test1"}, "v_test1 has no sound"


def test_candidates_that_overlap_are_dropped_if_settings_say_so(corpus: CaptionCorpus) -> None:
    numbers = []
    for max_tiou in (None, 0.4):
        proposer, inputs = build(corpus, max_tiou=max_tiou)
        proposer.fit(inputs, EVENTS)
        [candidates] = proposer.score_candidates(inputs, ["v_train4"], 20)
        numbers.append(len(candidates.scores))
    assert numbers[0] == 20 > numbers[1]


@pytest.mark.parametrize("finetune", [False, True])
def test_the_encoder_of_a_captioner_is_kept_or_trained_further(
    corpus: CaptionCorpus, tmp_path: Path, finetune: bool
) -> None:
    captioner = train_a_captioner(corpus, tmp_path)
    assert train(corpus, tmp_path, captioner, encoder={"captioner": "bmt", "finetune": finetune}) == 0
    manifest = tmp_path / "proposer" / "manifest.json"
    before = load_file(captioner.with_name("model.safetensors"))
    after = load_file(manifest.with_name("model.safetensors"))
    names = [name for name in after if name.startswith("encoder.")]
    assert names
    assert all(torch.equal(before[name], after[name]) for name in names) != finetune
    for name in (name for name in after if name.startswith("feature_norms.")):
        assert torch.equal(before[name], after[name])
    assert sha256(captioner) in read_json(manifest.with_name("manifest.provenance.json"))["inputs"].values()
    assert load_proposer(manifest).proposer.network.anchors("visual").tolist() == after["visual_anchors"].tolist()


def test_a_kept_encoder_has_no_dropout_in_training(corpus: CaptionCorpus, tmp_path: Path) -> None:
    proposer, inputs = build(corpus, encoder={"captioner": "bmt"}, dropout=0.5)
    proposer.fit(inputs, EVENTS)
    proposer.load_encoder(read_manifest(train_a_captioner(corpus, tmp_path)))
    proposer.network.train()
    assert not proposer.network.encoder.training
    assert proposer.network.heads.training
    assert not any(parameter.requires_grad for parameter in proposer.network.encoder.parameters())


def test_a_captioner_that_does_not_fit_is_refused(
    corpus: CaptionCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captioner = train_a_captioner(corpus, tmp_path, hidden=8)
    encoder = {"encoder": {"captioner": "bmt"}}
    assert train(corpus, tmp_path, captioner, **encoder) == 2
    assert "hidden of the captioner is 8, of the proposer 16" in capsys.readouterr().err
    assert train(corpus, tmp_path, **encoder) == 2
    assert "train_proposer.encoder needs --captioner" in capsys.readouterr().err
    assert train(corpus, tmp_path, captioner) == 2
    assert "train_proposer.encoder is null" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"features": ["toy"]}, ["visual and audio", "features"]),
        ({"features": {"visual": ["toy"], "sound": ["audio"]}}, ["visual and audio", "sound"]),
        ({"visual_kernels": [1, 4]}, ["visual_kernels", "odd"]),
        ({"hidden": 18}, ["18", "heads 4"]),
        ({"max_tiou": 0.0}, ["max_tiou"]),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], facts: list[str]) -> None:
    with pytest.raises(PipelineError) as error:
        ProposerEntry.parse(SMALL | settings, "train_proposer.x")
    assert all(fact in str(error.value) for fact in facts)


def test_a_proposer_of_one_stream_refuses_named_streams() -> None:
    with pytest.raises(PipelineError, match=r"boundary reads one stream of features, not visual, audio"):
        ProposerEntry.parse({"kind": "boundary", "features": STREAMS}, "train_proposer.x")


def test_a_configuration_checks_the_captioner_whose_encoder_is_used() -> None:
    streams = {"visual": ["sa_tsp"], "audio": ["initial"]}
    captioner = {"architecture": "bmt", "features": streams, "hidden": 64}
    proposer = {"kind": "bmt", "features": streams, "encoder": {"captioner": "bmt"}, "hidden": 64}
    sections = {"train_captioner": {"bmt": captioner}, "train_proposer": {"bmt": proposer}}
    assert load_config("demo", sections).train_proposer["bmt"].root.trained_encoder is not None
    for change, facts in (
        ({"hidden": 128}, ["hidden 64", "128"]),
        ({"features": {**streams, "audio": ["sa_tsp"]}}, ["features"]),
        ({"encoder": {"captioner": "bmtt"}}, ["bmtt", "'bmt'"]),
        ({"encoder": {"captioner": "sa_tsp"}}, ["'sa_tsp'", "event_lstm"]),
    ):
        with pytest.raises(PipelineError) as error:
            load_config("demo", sections | {"train_proposer": {"bmt": proposer | change}})
        assert all(fact in str(error.value) for fact in facts)


def test_a_stream_that_no_video_has_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_caption_corpus(tmp_path, {"train": 2, "test": 1})
    corpus.add_audio(reject=["v_train0", "v_train1"])
    assert train(corpus, tmp_path) == 2
    assert "stream audio" in capsys.readouterr().err

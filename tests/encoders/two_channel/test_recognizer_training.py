"""Schedules of a recognizer's training: lambda, the learning rate, and the clips that it draws."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_corpus import write_video_corpus
from torch.optim.lr_scheduler import ReduceLROnPlateau

from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.datasets.caption_tokens import CaptionTokens
from pipeline.datasets.clip_labels import ClipLabels, LabelledClip, label_corpus
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_reader import pad_clip
from pipeline.encoders.clip_transforms import BY_64, transform_batch
from pipeline.encoders.two_channel.data import build_recognition_data, central_sample
from pipeline.encoders.two_channel.losses import class_weight
from pipeline.encoders.two_channel.recognizer import build_network
from pipeline.encoders.two_channel.trainer import plateau_rate
from pipeline.errors import PipelineError
from pipeline.video.shard import ReencodedVideo, ReencodedVideos

CLIP = {"frames": 8, "fps": 7.5, "height": 64, "width": 64, "crop": 56}
SMALL = {"size": "M(8-8)", "encoder_dim": 8, "embedding_dim": 4, "decoder_dim": 8, "clip": CLIP, "cutoff": 0}


def parse(**changes: object) -> RecognizerEntry:
    return RecognizerEntry.parse({**SMALL, **changes}, "")


def test_lambda_goes_down_in_a_line_or_in_steps() -> None:
    knots = {1: 1.0, 3: 1.0, 6: 0.1}
    linear = [class_weight(epoch, knots, "linear") for epoch in range(1, 9)]
    assert linear == pytest.approx([1, 1, 1, 0.7, 0.4, 0.1, 0.1, 0.1])
    steps = [class_weight(epoch, knots, "steps") for epoch in range(1, 9)]
    assert steps == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1])


def test_one_head_has_the_whole_weight() -> None:
    assert parse(captions=None).class_weight_by_epoch == {1: 1.0}
    assert parse(classes=None).class_weight_by_epoch == {1: 0.0}


@pytest.mark.parametrize("patience", [0, 2])
def test_the_learning_rate_is_that_of_pytorchs_plateau(patience: int) -> None:
    config = parse(lr=0.5, lr_factor=0.1, patience=patience, min_lr=1e-4)
    scores = [0.1, 0.2, 0.2, 0.2 * 1.00005, 0.19, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.31, 0.0, 0.0, 0.0, 0.0, 0.0]
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    plateau = ReduceLROnPlateau(
        optimizer, mode="max", factor=0.1, patience=patience, threshold=1e-4, min_lr=1e-4, eps=0
    )
    expected = []
    for score in scores:
        expected.append(optimizer.param_groups[0]["lr"])
        plateau.step(score)
    rates = [plateau_rate(scores[:epoch], config) for epoch in range(len(scores))]
    assert rates == pytest.approx(expected)
    assert len(set(np.round(rates, 6))) > 2


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"classes": None, "captions": None}, "classes"),
        ({"size": "M(1-2)"}, "size"),
        ({"class_weight": [{"epoch": 2, "weight": 1.0}]}, "class_weight"),
        ({"class_weight": [{"epoch": 1, "weight": 1.0}, {"epoch": 1, "weight": 0.1}]}, "class_weight"),
        ({"clip": {**CLIP, "crop": 48}}, "crop"),
        ({"accumulate_steps": 2, "world_size": 4}, "world_size"),
    ],
)
def test_settings_that_cannot_be_are_errors(changes: dict[str, object], key: str) -> None:
    with pytest.raises(PipelineError, match=key):
        parse(**changes)


def test_a_short_video_gets_its_first_and_last_frame() -> None:
    frames = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    padded = pad_clip(frames, 8, "both")[:, 0, 0, 0]
    assert padded.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert pad_clip(frames[:1], 3, "both").shape == (3, 1, 1, 3)


def test_pixels_are_divided_by_64() -> None:
    frames = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8)
    [pixels] = transform_batch([frames], parse().clip, [(3, 5)], [False], BY_64)
    torch.testing.assert_close(pixels, frames[:, 3:59, 5:61].permute(3, 0, 1, 2).float() / 64, rtol=0, atol=0)


def test_the_central_clip_is_in_the_middle_of_time_and_space() -> None:
    video = ReencodedVideo("a", 100, 30.0, 40, 30, audio=False, path=Path("a.mp4"))
    sample = central_sample(video, parse().clip)
    assert (sample.start_frame, sample.top, sample.left, sample.flip) == ((25 - 8) // 2, 4, 4, False)
    short = ReencodedVideo("b", 8, 30.0, 40, 30, audio=False, path=Path("b.mp4"))
    assert central_sample(short, parse().clip).start_frame == 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, dict[str, ReencodedVideo]]:
    paths = write_video_corpus(tmp_path_factory.mktemp("corpus"), {"train": 4, "val": 2, "test": 2}, rejected=1)
    return Corpus.open(paths.corpus), ReencodedVideos.open(paths.videos, 2).by_id


def test_training_clips_are_drawn_over_time_and_space(corpus: tuple[Corpus, dict[str, ReencodedVideo]]) -> None:
    labels, config = label_corpus(corpus[0], {}), parse()
    data = build_recognition_data(corpus[0], labels, corpus[1], config)
    assert data.classes == ["glow blue", "glow red"]
    assert [row.reason for row in data.unused] == ["rejected"]
    samples = [sample for epoch in range(1, 60) for sample in data.train_samples(epoch, config)]
    assert {sample.video for sample in samples} == {"v_train1", "v_train2", "v_train3"}
    assert {sample.start_frame for sample in samples} == set(range(45 - 8 + 1))
    assert {sample.top for sample in samples} == {sample.left for sample in samples} == set(range(9))
    assert not any(sample.flip for sample in samples)
    assert data.train_samples(7, config) == data.train_samples(7, config) != data.train_samples(8, config)
    assert {sample.video for sample in data.val_samples(config)} == {"v_val0", "v_val1"}


def test_targets_are_classes_groups_and_captions(corpus: tuple[Corpus, dict[str, ReencodedVideo]]) -> None:
    group_of = {"glow blue": "z", "glow red": "a"}
    labels = label_corpus(corpus[0], group_of)
    fine = build_recognition_data(corpus[0], labels, corpus[1], parse())
    coarse = build_recognition_data(corpus[0], labels, corpus[1], parse(classes="groups", captions=None))
    assert coarse.classes == ["a", "z"]
    assert coarse.tokens is None
    assert fine.tokens is not None
    for video, target in fine.targets.items():
        assert coarse.targets[video].label == 1 - target.label
        assert fine.tokens.caption(target.tokens) == f"the screen glows {fine.classes[target.label].split()[1]}"
    network = build_network(parse(), fine.classes, fine.tokens)
    assert network.classifier is not None
    assert network.decoder is not None
    assert network.decoder.linear.out_features == fine.tokens.size


def test_the_initial_weights_before_a_relu_are_pytorchs_or_those_of_he() -> None:
    words = CaptionTokens(("A", "B"), 4)
    networks = {}
    for name in ("pytorch", "he"):
        torch.manual_seed(0)
        networks[name] = build_network(parse(initialization=name), ["x", "y"], words)
    weights, larger = (networks[name].state_dict() for name in ("pytorch", "he"))
    factors = {name: float((larger[name] / weights[name]).nanmedian()) for name in weights if "weight" in name}
    assert {name for name, factor in factors.items() if factor != 1} == {"encoder.fc.weight", "decoder.mapping.weight"}
    bound = (6 / parse().encoder_dim) ** 0.5
    assert 0.9 * bound < float(larger["encoder.fc.weight"].abs().max()) <= bound


def test_clips_without_class_or_caption_are_listed(corpus: tuple[Corpus, dict[str, ReencodedVideo]]) -> None:
    clips = [LabelledClip("v_train1", "a", "x y", "y"), LabelledClip("v_train2", "b", "", "")]
    labels = ClipLabels(clips, ["a", "b"], {})
    data = build_recognition_data(corpus[0], labels, corpus[1], parse())
    assert data.train == ["v_train1"]
    assert {row.video: row.reason for row in data.unused} == {
        "v_train0": "rejected",
        "v_train2": "no_caption",
        "v_train3": "no_label",
        "v_val0": "no_label",
        "v_val1": "no_label",
    }
    with pytest.raises(PipelineError, match=r"label_clips\.groups"):
        build_recognition_data(corpus[0], labels, corpus[1], parse(classes="groups"))
    with pytest.raises(PipelineError, match="train"):
        build_recognition_data(corpus[0], ClipLabels([], ["a"], {}), corpus[1], parse(captions=None))

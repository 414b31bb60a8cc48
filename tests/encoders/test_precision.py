"""Tests of bfloat16, memory layout and compilation."""

import shutil
from pathlib import Path

import pytest
import torch
from helpers.video_corpus import SMALL, write_video_corpus
from torch import nn

from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.datasets.concepts import read_concepts
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_loader import ClipLoader
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.pretraining_data import build_pretraining_data
from pipeline.encoders.trainer import EncoderTrainer, build_optimizer
from pipeline.training.precision import autocast, to_device_inplace
from pipeline.video.shard import ReencodedVideos

CPU = torch.device("cpu")


def test_bfloat16_is_used_and_learns_about_as_well_as_float32(tmp_path: Path) -> None:
    paths = write_video_corpus(tmp_path, {"train": 2, "val": 2})
    concepts = read_concepts(paths.concepts)
    metrics, dtypes = [], set[torch.dtype]()
    for precision in ("float32", "bfloat16"):
        config = EncoderEntry.parse({**SMALL, "precision": precision}, "")
        videos = ReencodedVideos.open(paths.videos, 2).by_id
        data = build_pretraining_data(Corpus.open(paths.corpus), videos, config, concepts)
        torch.manual_seed(0)
        model = PretrainingModel(config, data.num_labels)
        model.encoder.layer1.register_forward_hook(lambda _, inputs, output: dtypes.add(output.dtype))
        loader = ClipLoader(ClipReader(data.videos, config.clip), config.clip, CPU, 0)
        trainer = EncoderTrainer(model, build_optimizer(model, config, 0.05), config, loader, CPU)
        train_metrics = trainer.train_epoch(1, data.train_samples(1, config))
        metrics.append(train_metrics | trainer.validate(data.val_samples(config)))
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert dtypes == {torch.float32, torch.bfloat16}
    assert metrics[1]["train_loss"] == pytest.approx(metrics[0]["train_loss"], rel=0.05)
    assert metrics[1]["val_loss"] != metrics[0]["val_loss"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("channels_last", [True, False])
def test_to_device_inplace_changes_no_name_and_no_weight(channels_last: bool) -> None:
    model, clips = network(), torch.randn(2, 2, 3, 5, 5)
    expected, state = model(clips), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    to_device_inplace(model, CPU, channels_last=channels_last, compiled=False)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last_3d) == channels_last
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    torch.testing.assert_close(model(clips), expected)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own imports
def test_compiled_network_computes_the_same_and_keeps_its_names() -> None:
    model, clips = network(), torch.randn(2, 2, 3, 5, 5)
    expected, names = model(clips), set(model.state_dict())
    to_device_inplace(model, CPU, channels_last=True, compiled=True)
    with autocast(CPU, "float32"):
        torch.testing.assert_close(model(clips), expected)
    assert set(model.state_dict()) == names

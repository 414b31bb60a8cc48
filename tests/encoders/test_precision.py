"""Half precision trains; the order in memory and compilation change no name and no weight."""

import shutil
from pathlib import Path

import pytest
import torch
from helpers.video_corpus import SMALL, write_filmed
from torch import nn

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import Corpus
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.concept_labels import read_concepts
from pipeline.encoders.data import gather
from pipeline.encoders.loader import Loader
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.trainer import Fitting, optimiser
from pipeline.training.precision import autocast, prepared
from pipeline.video.shard import Videos

CPU = torch.device("cpu")


def test_bfloat16_is_used_and_learns_about_the_same(tmp_path: Path) -> None:
    paths = write_filmed(tmp_path, {"train": 2, "val": 2})
    concepts = read_concepts(paths.concepts)
    found, kinds = [], set[torch.dtype]()
    for precision in ("float32", "bfloat16"):
        config = PretrainEncoder.parse({**SMALL, "precision": precision}, "")
        data = gather(Corpus.open(paths.corpus), Videos.open(paths.videos, 2).rows, config, concepts)
        torch.manual_seed(0)
        model = PretrainingModel(config, len(data.labels), len(concepts))
        model.encoder.layer1.register_forward_hook(lambda _, given, said: kinds.add(said.dtype))
        loader = Loader(ClipReader(data.rows, config.clip), config.clip, CPU, 0)
        fitting = Fitting(model, optimiser(model, config, 0.05), config, len(concepts), loader, CPU)
        found.append(fitting.train(1, data.epoch(1, config)) | fitting.validate(data.validation(config)))
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        assert all(torch.isfinite(weight).all() for weight in model.parameters())
    assert kinds == {torch.float32, torch.bfloat16}
    assert found[1]["train_loss"] == pytest.approx(found[0]["train_loss"], rel=0.05)
    assert found[1]["val_loss"] != found[0]["val_loss"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("channels_last", [True, False])
def test_preparation_changes_no_name_and_no_weight(channels_last: bool) -> None:
    model, clips = network(), torch.randn(2, 2, 3, 5, 5)
    expected, before = model(clips), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prepared(model, CPU, channels_last=channels_last, compiled=False)
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last_3d) == channels_last
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    torch.testing.assert_close(model(clips), expected)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own imports
def test_a_compiled_network_computes_the_same_under_the_same_names() -> None:
    model, clips = network(), torch.randn(2, 2, 3, 5, 5)
    expected, names = model(clips), set(model.state_dict())
    prepared(model, CPU, channels_last=True, compiled=True)
    with autocast(CPU, "float32"):
        torch.testing.assert_close(model(clips), expected)
    assert set(model.state_dict()) == names

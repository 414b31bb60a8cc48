"""Tests of weight files: every published format is read, completely or not at all, and no code in them runs."""

import argparse
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.video_corpus import SMALL, VideoCorpus, write_video_corpus
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.config.losses import build_losses
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.losses import Heads, NumLabels, build_loss_terms
from pipeline.encoders.r2plus1d import ClipEncoder, build_encoder
from pipeline.encoders.weight_files import load_initial_weights, read_encoder_weights
from pipeline.errors import PipelineError
from pipeline.pretrain_encoder import main

ACTIONS = 5
DIM = 128


def build_heads(actions: int = ACTIONS, *, region: bool = True, concepts: int = 0) -> Heads:
    weights = {"action": 1.0, "region": float(region), "concepts": 1.0}
    config = EncoderEntry(losses=build_losses(**weights))
    return Heads(build_loss_terms(config, NumLabels(actions, concepts)), DIM)


@pytest.fixture(scope="module")
def trained() -> tuple[ClipEncoder, Heads]:
    torch.manual_seed(7)
    return build_encoder("r2plus1d_narrow"), build_heads()


def tsp_checkpoint(encoder: nn.Module, heads: Heads, *, region: bool = True, **entries: Any) -> dict[str, Any]:
    """What TSP's train.py saves: weights under `model`, the optimizer, and the command line."""
    state: dict[str, Tensor] = {f"features.{name}": tensor for name, tensor in encoder.state_dict().items()}
    first = "fc1" if region else "fc"
    state |= {f"{first}.{name}": tensor for name, tensor in heads["action"].state_dict().items()}
    if region:
        state |= {f"fc2.{name}": tensor.flip(0) for name, tensor in heads["region"].state_dict().items()}
    args = argparse.Namespace(backbone="r2plus1d_34", alphas=[1.0, 1.0], label_columns=["action-label"], gpu=None)
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "model": state,
        "optimizer": optimizer,
        "lr_scheduler": {"milestones": [4]},
        "epoch": 5,
        "args": args,
        **entries,
    }


def test_torch_load_refuses_the_namespace_in_tsps_checkpoints(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads]
) -> None:
    torch.save(tsp_checkpoint(*trained), tmp_path / "t.pth")
    with pytest.raises(Exception, match=r"argparse\.Namespace") as refused:
        torch.load(tmp_path / "t.pth", weights_only=True)
    assert refused.type.__name__ == "UnpicklingError"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", ["plain", "tsp", "tac"])
def test_read_encoder_weights_gives_the_same_weights_for_every_format(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads], form: str, zipped: bool
) -> None:
    encoder, heads = trained
    plain = {**encoder.state_dict(), **{f"fc.{name}": t for name, t in heads["action"].state_dict().items()}}
    content = plain if form == "plain" else tsp_checkpoint(encoder, heads, region=form == "tsp")
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)

    weights = read_encoder_weights(tmp_path / "w.pth")

    assert weights.sha256 == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert weights.encoder.keys() == encoder.state_dict().keys()
    assert all(torch.equal(weights.encoder[name], tensor) for name, tensor in encoder.state_dict().items())
    expected = (
        heads.state_dict() if form == "tsp" else {f"action.{n}": t for n, t in heads["action"].state_dict().items()}
    )
    assert weights.heads.keys() == expected.keys()
    assert all(torch.equal(weights.heads[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("depth", [1, 2])
def test_read_encoder_weights_drops_the_prefix_of_data_parallel(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads], depth: int, zipped: bool
) -> None:
    checkpoint = tsp_checkpoint(*trained)
    torch.save(checkpoint, tmp_path / "plain.pth")
    checkpoint["model"] = {"module." * depth + name: tensor for name, tensor in checkpoint["model"].items()}
    torch.save(checkpoint, tmp_path / "parallel.pth", _use_new_zipfile_serialization=zipped)
    plain, parallel = (read_encoder_weights(tmp_path / name) for name in ("plain.pth", "parallel.pth"))
    for part in ("encoder", "heads"):
        expected, actual = getattr(plain, part), getattr(parallel, part)
        assert actual.keys() == expected.keys()
        assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())


def test_read_encoder_weights_keeps_the_names_of_a_part_that_is_called_module(tmp_path: Path) -> None:
    torch.save({"module.weight": torch.zeros(1), "stem.weight": torch.zeros(1)}, tmp_path / "w.pth")
    assert read_encoder_weights(tmp_path / "w.pth").encoder.keys() == {"module.weight", "stem.weight"}


NUMPY_SCALARS = [
    np.float64(0.5), np.float32(0.5), np.float16(0.5), np.int64(3), np.int32(3), np.uint8(3), np.bool_(True)
]  # fmt: skip


@pytest.mark.parametrize("scalar", NUMPY_SCALARS, ids=lambda scalar: type(scalar).__name__)
@pytest.mark.parametrize("zipped", [True, False])
def test_read_encoder_weights_ignores_a_numpy_scalar_beside_the_weights(
    tmp_path: Path, scalar: np.generic, zipped: bool
) -> None:
    state = {"stem.weight": torch.ones(2)}
    contents = {"in_checkpoint": {"state_dict": state, "best": scalar}, "in_state": {**state, "best": scalar}}
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pth", _use_new_zipfile_serialization=zipped)
        weights = read_encoder_weights(tmp_path / f"{name}.pth")
        assert weights.encoder.keys() == {"stem.weight"}
        assert torch.equal(weights.encoder["stem.weight"], torch.ones(2))


@pytest.mark.parametrize("zipped", [True, False])
def test_read_encoder_weights_executes_nothing_inside_an_array_of_objects(
    tmp_path: Path, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = np.array([_Bomb()], dtype=object)
    for name, value in {"array": objects, "scalar": objects[:1].reshape(()), "bomb": [_Bomb()]}.items():
        content = {"model": {"stem.weight": torch.ones(2)}, "best": value}
        torch.save(content, tmp_path / f"{name}.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(PipelineError, match="cannot be read without executing code"):
            read_encoder_weights(tmp_path / f"{name}.pth")
    assert "executed" not in capsys.readouterr().out


def test_read_encoder_weights_reads_the_files_of_write_model(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads]
) -> None:
    encoder, heads = trained
    both = nn.ModuleDict({"encoder": encoder, "heads": heads}).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in both.items()}, tmp_path / "model.safetensors")
    weights = read_encoder_weights(tmp_path / "model.safetensors")
    assert all(torch.equal(weights.encoder[name], tensor) for name, tensor in encoder.state_dict().items())
    assert all(torch.equal(weights.heads[name], tensor) for name, tensor in heads.state_dict().items())


def test_load_initial_weights_gives_loaded_heads_the_logits_of_the_file(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads]
) -> None:
    """In TSP's region head, class 0 is action; here class 1 is: the logits of a loaded head are swapped."""
    encoder, heads = trained
    torch.save(tsp_checkpoint(encoder, heads), tmp_path / "t.pth")
    state = tsp_checkpoint(encoder, heads)["model"]
    torch.manual_seed(8)
    fresh, loaded = build_encoder("r2plus1d_narrow"), build_heads(concepts=3)
    concept_weights = loaded["concepts"].weight.clone()
    load_initial_weights(tmp_path / "t.pth", fresh, loaded)

    clips = torch.randn(2, 3, 4, 16, 16)
    with torch.no_grad():
        features = fresh.eval()(clips)
        torch.testing.assert_close(features, encoder.eval()(clips), rtol=0, atol=0)
        logits = loaded(features)
        region = features @ state["fc2.weight"].T + state["fc2.bias"]
        action = features @ state["fc1.weight"].T + state["fc1.bias"]
    torch.testing.assert_close(logits["action"], action)
    torch.testing.assert_close(logits["region"], region[:, [1, 0]])
    assert torch.equal(loaded["concepts"].weight, concept_weights), "a head that the file lacks does not change"


def test_load_initial_weights_ignores_the_heads_of_the_file_by_default(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads]
) -> None:
    torch.save(tsp_checkpoint(*trained), tmp_path / "t.pth")
    encoder = build_encoder("r2plus1d_narrow")
    load_initial_weights(tmp_path / "t.pth", encoder)
    assert all(torch.equal(tensor, trained[0].state_dict()[name]) for name, tensor in encoder.state_dict().items())


def test_load_initial_weights_ignores_a_head_that_the_encoder_lacks(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads]
) -> None:
    torch.save(tsp_checkpoint(*trained), tmp_path / "t.pth")
    heads = build_heads(region=False)
    load_initial_weights(tmp_path / "t.pth", build_encoder("r2plus1d_narrow"), heads)
    assert torch.equal(heads["action"].weight, trained[1]["action"].weight)


def test_load_initial_weights_names_the_keys_of_heads_of_another_size(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads]
) -> None:
    torch.save(tsp_checkpoint(*trained), tmp_path / "t.pth")
    heads = build_heads(7)
    with pytest.raises(PipelineError, match=r"2 keys differ, first action\.bias \(file \(5,\), model \(7,\)\)"):
        load_initial_weights(tmp_path / "t.pth", build_encoder("r2plus1d_narrow"), heads)
    torch.save(trained[0].state_dict(), tmp_path / "bare.pth")
    with pytest.raises(PipelineError, match=r"bare\.pth: has none of .* keep_heads"):
        load_initial_weights(tmp_path / "bare.pth", build_encoder("r2plus1d_narrow"), heads)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


class _Namespace(argparse.Namespace):
    """A class with the name of an allowed one."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("payload", [_Bomb(), _Namespace(lr=1.0)], ids=["bomb", "other_class"])
def test_read_encoder_weights_executes_nothing_inside_the_namespace(
    tmp_path: Path,
    trained: tuple[ClipEncoder, Heads],
    payload: object,
    zipped: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = argparse.Namespace(nested=[{"deep": payload}])
    torch.save(tsp_checkpoint(*trained, args=args), tmp_path / "t.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(PipelineError, match="cannot be read without executing code"):
        read_encoder_weights(tmp_path / "t.pth")
    assert "executed" not in capsys.readouterr().out


def test_read_encoder_weights_restores_the_safe_globals(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(tsp_checkpoint(*trained), tmp_path / "t.pth")
    read_encoder_weights(tmp_path / "t.pth")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_read_encoder_weights_checks_a_given_digest(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(trained[0].state_dict(), tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert read_encoder_weights(tmp_path / "w.pth", digest[:8]).sha256 == digest
    with pytest.raises(PipelineError, match=r"w\.pth: its sha256 does not begin with 0aa0550b as published"):
        read_encoder_weights(tmp_path / "w.pth", "0aa0550b")


@pytest.mark.parametrize(
    "content", [{"model": [1]}, {"model": {"a": 1}}, {3: torch.zeros(1)}, argparse.Namespace(a=1), 3]
)
def test_read_encoder_weights_refuses_content_that_is_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(PipelineError, match=r"w\.pth: holds no plain state dict"):
        read_encoder_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_read_encoder_weights_raises_one_error_for_a_truncated_file(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads], zipped: bool
) -> None:
    path = tmp_path / "w.pth"
    torch.save(tsp_checkpoint(*trained), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 50):
        path.write_bytes(whole[:length])
        with pytest.raises(PipelineError, match=r"w\.pth: weights cannot be read"):
            read_encoder_weights(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_read_encoder_weights_survives_any_changed_byte(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pth"
    content = {"model": {"features.stem.weight": torch.zeros(2, 3), "fc.weight": torch.zeros(2, 3)}}
    torch.save({**content, "args": argparse.Namespace(lr=[0.1])}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        path.write_bytes(changed)
        try:
            read_encoder_weights(path)
        except PipelineError:
            refused += 1
    assert refused > 50


@pytest.fixture
def published() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    head = nn.Linear(128, 400)
    state = {**build_encoder("r2plus1d_narrow").state_dict(), "fc.weight": head.weight.data, "fc.bias": head.bias.data}
    return {name: tensor.contiguous() for name, tensor in state.items()}


def assert_loaded(path: Path, published: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(1)
    encoder = build_encoder("r2plus1d_narrow")
    load_initial_weights(path, encoder)
    assert all(torch.equal(tensor, published[name]) for name, tensor in encoder.state_dict().items())


def test_load_initial_weights_reads_safetensors_and_pth_without_their_head(
    tmp_path: Path, published: dict[str, torch.Tensor]
) -> None:
    save_file(published, tmp_path / "w.safetensors")
    torch.save(published, tmp_path / "w.pth")
    assert_loaded(tmp_path / "w.safetensors", published)
    assert_loaded(tmp_path / "w.pth", published)


def test_load_initial_weights_ignores_tsps_two_heads(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    two_heads = {name.replace("fc.", "fc1."): tensor for name, tensor in published.items()}
    torch.save({**two_heads, "fc2.weight": torch.zeros(2, 128)}, tmp_path / "w.pth")
    assert_loaded(tmp_path / "w.pth", published)


def test_load_initial_weights_checks_the_sha256_in_the_name(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "w.pth"
    torch.save(published, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right, wrong = tmp_path / f"w-{digest[:8]}.pth", tmp_path / "w-0aa0550b.pth"
    right.write_bytes(path.read_bytes())
    wrong.write_bytes(path.read_bytes())
    assert_loaded(right, published)
    with pytest.raises(PipelineError, match=r"w-0aa0550b\.pth: its sha256 does not begin with 0aa0550b"):
        load_initial_weights(wrong, build_encoder("r2plus1d_narrow"))


BARE_BOMB = b"\x80\x02c__builtin__\nprint\nX\x08\x00\x00\x00executed\x85R."
"""`_Bomb()` alone, by the second version of the protocol that torch's files use: call `print` with one text."""


def test_load_initial_weights_executes_nothing_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"stem.0.weight": _Bomb()}, tmp_path / "new.pth")
    torch.save(_Bomb(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pth").write_bytes(BARE_BOMB)
    for name in ("new.pth", "old.pth", "bare.pth"):
        with pytest.raises(Exception, match="print"):  # the function that the file would call
            torch.load(tmp_path / name, weights_only=True)
        with pytest.raises(PipelineError, match=r"cannot be read without executing code \(.*print[^\n]*\)$"):
            load_initial_weights(tmp_path / name, build_encoder("r2plus1d_narrow"))
    assert "executed" not in capsys.readouterr().out


def test_load_initial_weights_names_damage_and_another_architecture(
    tmp_path: Path, published: dict[str, torch.Tensor]
) -> None:
    save_file(published, tmp_path / "w.safetensors")
    torch.save(published, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(PipelineError, match=r"weights of another architecture.*first .*layer1\.0"):
            load_initial_weights(tmp_path / name, build_encoder("r2plus1d_18"))
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PipelineError, match="weights cannot be read"):
            load_initial_weights(tmp_path / name, build_encoder("r2plus1d_narrow"))


def test_load_initial_weights_refuses_other_files(tmp_path: Path) -> None:
    encoder = build_encoder("r2plus1d_narrow")
    with pytest.raises(PipelineError, match="no such weight file"):
        load_initial_weights(tmp_path / "absent.pth", encoder)
    (tmp_path / "w.h5").touch()
    with pytest.raises(PipelineError, match=r"must be a \.safetensors or a \.pth"):
        load_initial_weights(tmp_path / "w.h5", encoder)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(PipelineError, match="no plain state dict"):
        load_initial_weights(tmp_path / "list.pth", encoder)


def pretrain(corpus: VideoCorpus, name: str, **changes: object) -> tuple[int, dict[str, torch.Tensor]]:
    output = corpus.corpus.parents[1] / name / "manifest.json"
    files = {"--corpus": corpus.corpus, "--videos": corpus.videos, "--concepts": corpus.concepts}
    files |= {"--state": output.parent / "state", "--output": output}
    arguments = [str(word) for pair in files.items() for word in pair]
    status = main(["--name", name, "--config", json.dumps({**SMALL, "epochs": 1, **changes}), *arguments])
    return status, load_file(output.parent / "model.safetensors") if status == 0 else {}


def test_pretraining_starts_from_another_encoder_with_or_without_its_heads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = write_video_corpus(tmp_path, {"train": 2, "val": 2})
    _, first = pretrain(corpus, "first")
    no_training = {
        "initial_weights": str(tmp_path / "first" / "model.safetensors"),
        "backbone_lr": 0.0,
        "head_lr": [0.0],
    }
    _, with_heads = pretrain(corpus, "with_heads", keep_heads=True, **no_training)
    _, without_heads = pretrain(corpus, "without_heads", **no_training)
    weights = [name for name in first if "running" not in name and "tracked" not in name]
    assert all(torch.equal(with_heads[name], first[name]) for name in weights)
    different = [name for name in weights if not torch.equal(without_heads[name], first[name])]
    assert different
    assert all(name.startswith("heads.") for name in different)
    status, _ = pretrain(corpus, "published", initial_weights="r3d_18_kinetics")
    assert status == 2
    assert "weights fetch r3d_18_kinetics" in capsys.readouterr().err.splitlines()[-1]

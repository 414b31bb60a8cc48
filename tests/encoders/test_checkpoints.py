"""Published files of every form are read, whole or not at all, and nothing in them runs."""

import argparse
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.encoders.architectures import build
from pipeline.encoders.checkpoints import read_checkpoint
from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.heads import Heads
from pipeline.encoders.initial import load_initial
from pipeline.errors import PipelineError

ACTIONS = 5
DIM = 128


@pytest.fixture(scope="module")
def trained() -> tuple[ClipEncoder, Heads]:
    torch.manual_seed(7)
    return build("r2plus1d_narrow"), Heads(DIM, ACTIONS, region=True, concepts=0)


def tsp(encoder: nn.Module, heads: Heads, *, region: bool = True, **held: Any) -> dict[str, Any]:
    """What TSP's train.py saves: weights under `model`, the optimiser, and the command line."""
    state: dict[str, Tensor] = {f"features.{name}": tensor for name, tensor in encoder.state_dict().items()}
    first = "fc1" if region else "fc"
    state |= {f"{first}.{name}": tensor for name, tensor in heads.action.state_dict().items()}
    if region:
        assert heads.region is not None
        state |= {f"fc2.{name}": tensor.flip(0) for name, tensor in heads.region.state_dict().items()}
    args = argparse.Namespace(backbone="r2plus1d_34", alphas=[1.0, 1.0], label_columns=["action-label"], gpu=None)
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return {
        "model": state,
        "optimizer": optimizer,
        "lr_scheduler": {"milestones": [4]},
        "epoch": 5,
        "args": args,
        **held,
    }


def test_the_tests_files_are_as_unreadable_as_tsps(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(tsp(*trained), tmp_path / "t.pth")
    with pytest.raises(Exception, match=r"argparse\.Namespace") as refused:
        torch.load(tmp_path / "t.pth", weights_only=True)
    assert refused.type.__name__ == "UnpicklingError"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", ["plain", "tsp", "tac"])
def test_every_form_gives_the_same_encoder_and_heads(
    tmp_path: Path, trained: tuple[ClipEncoder, Heads], form: str, zipped: bool
) -> None:
    encoder, heads = trained
    plain = {**encoder.state_dict(), **{f"fc.{name}": t for name, t in heads.action.state_dict().items()}}
    held = plain if form == "plain" else tsp(encoder, heads, region=form == "tsp")
    torch.save(held, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)

    read = read_checkpoint(tmp_path / "w.pth")

    assert read.sha256 == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert read.encoder.keys() == encoder.state_dict().keys()
    assert all(torch.equal(read.encoder[name], tensor) for name, tensor in encoder.state_dict().items())
    expected = heads.state_dict() if form == "tsp" else {f"action.{n}": t for n, t in heads.action.state_dict().items()}
    assert read.heads.keys() == expected.keys()
    assert all(torch.equal(read.heads[name], tensor) for name, tensor in expected.items())


def test_our_own_weights_are_read_too(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    encoder, heads = trained
    both = nn.ModuleDict({"encoder": encoder, "heads": heads}).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in both.items()}, tmp_path / "model.safetensors")
    read = read_checkpoint(tmp_path / "model.safetensors")
    assert all(torch.equal(read.encoder[name], tensor) for name, tensor in encoder.state_dict().items())
    assert all(torch.equal(read.heads[name], tensor) for name, tensor in heads.state_dict().items())


def test_kept_heads_say_what_they_said(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    """A region head of TSP calls action 0, ours calls it 1: the logits of a loaded one change places."""
    encoder, heads = trained
    torch.save(tsp(encoder, heads), tmp_path / "t.pth")
    theirs = tsp(encoder, heads)["model"]
    torch.manual_seed(8)
    fresh, kept = build("r2plus1d_narrow"), Heads(DIM, ACTIONS, region=True, concepts=3)
    own_concepts = kept.semantic.weight.clone()  # type: ignore[union-attr]
    load_initial(tmp_path / "t.pth", fresh, kept)

    clips = torch.randn(2, 3, 4, 16, 16)
    with torch.no_grad():
        features = fresh.eval()(clips)
        torch.testing.assert_close(features, encoder.eval()(clips), rtol=0, atol=0)
        found = kept(features)
        region = features @ theirs["fc2.weight"].T + theirs["fc2.bias"]
        action = features @ theirs["fc1.weight"].T + theirs["fc1.bias"]
    torch.testing.assert_close(found.action, action)
    torch.testing.assert_close(found.region, region[:, [1, 0]])
    assert torch.equal(kept.semantic.weight, own_concepts), "a head that the file lacks stays"  # type: ignore[union-attr]


def test_heads_are_dropped_unless_asked_for(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(tsp(*trained), tmp_path / "t.pth")
    other = build("r2plus1d_narrow")
    load_initial(tmp_path / "t.pth", other)
    assert all(torch.equal(tensor, trained[0].state_dict()[name]) for name, tensor in other.state_dict().items())


def test_a_head_that_the_encoder_lacks_is_left_out(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(tsp(*trained), tmp_path / "t.pth")
    kept = Heads(DIM, ACTIONS, region=False, concepts=0)
    load_initial(tmp_path / "t.pth", build("r2plus1d_narrow"), kept)
    assert torch.equal(kept.action.weight, trained[1].action.weight)


def test_heads_of_other_sizes_are_named(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(tsp(*trained), tmp_path / "t.pth")
    kept = Heads(DIM, 7, region=True, concepts=0)
    with pytest.raises(PipelineError, match=r"2 keys differ, first action\.bias \(file \(5,\), model \(7,\)\)"):
        load_initial(tmp_path / "t.pth", build("r2plus1d_narrow"), kept)
    torch.save(trained[0].state_dict(), tmp_path / "bare.pth")
    with pytest.raises(PipelineError, match="has none of the encoder's heads; set keep_heads: false"):
        load_initial(tmp_path / "bare.pth", build("r2plus1d_narrow"), kept)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


class _Namespace(argparse.Namespace):
    """Another class, whatever it is called."""


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("payload", [_Bomb(), _Namespace(lr=1.0)], ids=["bomb", "other_class"])
def test_nothing_hides_behind_the_command_line(
    tmp_path: Path,
    trained: tuple[ClipEncoder, Heads],
    payload: object,
    zipped: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = argparse.Namespace(nested=[{"deep": payload}])
    torch.save(tsp(*trained, args=args), tmp_path / "t.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(PipelineError, match="cannot be read without executing code"):
        read_checkpoint(tmp_path / "t.pth")
    assert "executed" not in capsys.readouterr().out


def test_the_allowance_ends_with_the_reading(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(tsp(*trained), tmp_path / "t.pth")
    read_checkpoint(tmp_path / "t.pth")
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_a_known_digest_is_checked_whatever_the_name(tmp_path: Path, trained: tuple[ClipEncoder, Heads]) -> None:
    torch.save(trained[0].state_dict(), tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    assert read_checkpoint(tmp_path / "w.pth", digest[:8]).sha256 == digest
    with pytest.raises(PipelineError, match=r"w\.pth: its sha256 does not begin with 0aa0550b as published"):
        read_checkpoint(tmp_path / "w.pth", "0aa0550b")


@pytest.mark.parametrize("held", [{"model": [1]}, {"model": {"a": 1}}, {3: torch.zeros(1)}, argparse.Namespace(a=1), 3])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "w.pth")
    with pytest.raises(PipelineError, match=r"w\.pth: holds no plain state dict"):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_is_one_plain_error(tmp_path: Path, trained: tuple[ClipEncoder, Heads], zipped: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save(tsp(*trained), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 50):
        path.write_bytes(whole[:length])
        with pytest.raises(PipelineError, match=r"w\.pth: weights cannot be read"):
            read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_changed_byte_is_a_plain_error_or_other_numbers(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pth"
    held = {"model": {"features.stem.weight": torch.zeros(2, 3), "fc.weight": torch.zeros(2, 3)}}
    torch.save({**held, "args": argparse.Namespace(lr=[0.1])}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= draw.randrange(1, 256)
        path.write_bytes(changed)
        try:
            read_checkpoint(path)
        except PipelineError:
            refused += 1
    assert refused > 50

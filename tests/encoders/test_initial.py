"""Published weights load by name; what does not fit, or might run something, is refused."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from helpers.video_corpus import SMALL, Filmed, write_filmed
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.encoders.architectures import build
from pipeline.encoders.initial import load_initial
from pipeline.errors import PipelineError
from pipeline.pretrain_encoder import main


@pytest.fixture
def published() -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    head = nn.Linear(128, 400)
    state = {**build("r2plus1d_narrow").state_dict(), "fc.weight": head.weight.data, "fc.bias": head.bias.data}
    return {name: tensor.contiguous() for name, tensor in state.items()}


def assert_loaded(path: Path, published: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(1)
    encoder = build("r2plus1d_narrow")
    load_initial(path, encoder)
    assert all(torch.equal(tensor, published[name]) for name, tensor in encoder.state_dict().items())


def test_both_kinds_of_files_load_without_their_head(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    save_file(published, tmp_path / "w.safetensors")
    torch.save(published, tmp_path / "w.pth")
    assert_loaded(tmp_path / "w.safetensors", published)
    assert_loaded(tmp_path / "w.pth", published)


def test_heads_of_tsp_are_left_out_too(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    two = {name.replace("fc.", "fc1."): tensor for name, tensor in published.items()}
    torch.save({**two, "fc2.weight": torch.zeros(2, 128)}, tmp_path / "w.pth")
    assert_loaded(tmp_path / "w.pth", published)


def test_the_hash_in_the_name_is_checked(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "w.pth"
    torch.save(published, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right, wrong = tmp_path / f"w-{digest[:8]}.pth", tmp_path / "w-0aa0550b.pth"
    right.write_bytes(path.read_bytes())
    wrong.write_bytes(path.read_bytes())
    assert_loaded(right, published)
    with pytest.raises(PipelineError, match=r"w-0aa0550b\.pth: its sha256 does not begin with 0aa0550b"):
        load_initial(wrong, build("r2plus1d_narrow"))


BARE_BOMB = b"\x80\x02c__builtin__\nprint\nX\x08\x00\x00\x00executed\x85R."
"""`_Bomb()` alone, by the second version of the protocol that torch's files use: call `print` with one text."""


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"stem.0.weight": _Bomb()}, tmp_path / "new.pth")
    torch.save(_Bomb(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pth").write_bytes(BARE_BOMB)
    for name in ("new.pth", "old.pth", "bare.pth"):
        with pytest.raises(Exception, match="print"):  # that is what the file asks for
            torch.load(tmp_path / name, weights_only=True)
        with pytest.raises(PipelineError, match=r"cannot be read without executing code \(.*print[^\n]*\)$"):
            load_initial(tmp_path / name, build("r2plus1d_narrow"))
    assert "executed" not in capsys.readouterr().out


def test_damage_and_the_wrong_architecture_are_named(tmp_path: Path, published: dict[str, torch.Tensor]) -> None:
    save_file(published, tmp_path / "w.safetensors")
    torch.save(published, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        with pytest.raises(PipelineError, match=r"weights of another architecture.*first .*layer1\.0"):
            load_initial(tmp_path / name, build("r2plus1d_18"))
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(PipelineError, match="weights cannot be read"):
            load_initial(tmp_path / name, build("r2plus1d_narrow"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    encoder = build("r2plus1d_narrow")
    with pytest.raises(PipelineError, match="no such weight file"):
        load_initial(tmp_path / "absent.pth", encoder)
    (tmp_path / "w.h5").touch()
    with pytest.raises(PipelineError, match=r"must be a \.safetensors or a \.pth"):
        load_initial(tmp_path / "w.h5", encoder)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(PipelineError, match="no plain state dict"):
        load_initial(tmp_path / "list.pth", encoder)


def pretrain(filmed: Filmed, name: str, **changes: object) -> tuple[int, dict[str, torch.Tensor]]:
    output = filmed.corpus.parents[1] / name / "manifest.json"
    files = {"--corpus": filmed.corpus, "--videos": filmed.videos, "--concepts": filmed.concepts}
    files |= {"--state": output.parent / "state", "--output": output}
    words = [str(word) for pair in files.items() for word in pair]
    status = main(["--name", name, "--config", json.dumps({**SMALL, "epochs": 1, **changes}), *words])
    return status, load_file(output.parent / "model.safetensors") if status == 0 else {}


def test_an_encoder_goes_on_from_another_with_or_without_its_heads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filmed = write_filmed(tmp_path, {"train": 2, "val": 2})
    _, first = pretrain(filmed, "first")
    still = {"initial_weights": str(tmp_path / "first" / "model.safetensors"), "backbone_lr": 0.0, "head_lr": [0.0]}
    _, kept = pretrain(filmed, "kept", keep_heads=True, **still)
    _, dropped = pretrain(filmed, "dropped", **still)
    weights = [name for name in first if "running" not in name and "tracked" not in name]
    assert all(torch.equal(kept[name], first[name]) for name in weights)
    different = [name for name in weights if not torch.equal(dropped[name], first[name])]
    assert different
    assert all(name.startswith("heads.") for name in different)
    status, _ = pretrain(filmed, "published", initial_weights="r3d_18_kinetics")
    assert status == 2
    assert "python -m pipeline.commands.weights fetch r3d_18_kinetics" in capsys.readouterr().err.splitlines()[-1]

"""Published weights load by name; what does not fit, or might run something, is refused."""

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.config.errors import PipelineError
from pipeline.encoders.architectures import build
from pipeline.encoders.initial import load_initial


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


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"stem.0.weight": _Bomb()}, tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(_Bomb(), protocol=2))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(PipelineError, match="cannot be read without executing code"):
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

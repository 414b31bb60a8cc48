"""Tests of the registry of encoders and of the published weights."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.commands.weights import main
from pipeline.config.encoders import (
    ENCODERS,
    PUBLISHED_WEIGHTS,
    WEIGHTS_FOLDER,
    PublishedWeights,
    initial_weights_path,
)
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]


def test_published_weights_are_complete_and_consistent() -> None:
    of_tsp = [name for name in PUBLISHED_WEIGHTS if "-tsp_on_" in name or "-tac_on_" in name]
    assert (len(PUBLISHED_WEIGHTS), len(of_tsp)) == (19, 13)
    assert len({entry.sha256_prefix for entry in PUBLISHED_WEIGHTS.values()}) == 19
    for name, entry in PUBLISHED_WEIGHTS.items():
        assert name == entry.name
        assert entry.url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{8}", entry.sha256_prefix)
        assert name.startswith(entry.architecture)
        assert entry.architecture in ENCODERS
        assert entry.url.endswith(f"{entry.sha256_prefix}.pth")


def test_default_initial_weights_are_of_the_default_architecture() -> None:
    default = EncoderEntry()
    published = PUBLISHED_WEIGHTS[str(default.initial_weights)]
    assert published.architecture == default.architecture
    assert published.sha256_prefix == "0aa0550b"


def test_weights_document_lists_all_published_weights() -> None:
    text = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    for entry in PUBLISHED_WEIGHTS.values():
        assert f"| `{entry.name}` | `{entry.sha256_prefix}` | {entry.heads} | {entry.description} |" in text


def test_initial_weights_path_of_a_name_is_its_file_below_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = PUBLISHED_WEIGHTS["r2plus1d_34-tsp_on_activitynet"]
    WEIGHTS_FOLDER.mkdir()
    (WEIGHTS_FOLDER / entry.file_name).touch()
    assert initial_weights_path(entry.name) == WEIGHTS_FOLDER / entry.file_name
    (tmp_path / "mine.safetensors").touch()
    assert initial_weights_path("mine.safetensors") == Path("mine.safetensors")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            "r3d_18_kinetics",
            r"^weights/r3d_18-b3b3357e\.pth: no such .* fetch r3d_18_kinetics --folder weights$",
        ),
        ("my/r3d_18-b3b3357e.pth", r"^my/r3d.*initial_weights.*fetch r3d_18_kinetics --folder my$"),
        ("absent.pth", r"^absent\.pth: no such weight file \(key initial_weights\)$"),
        (
            "r3d_18_kinetic",
            r"initial_weights = 'r3d_18_kinetic': .*weights list",
        ),
    ],
)
def test_initial_weights_path_says_how_to_fetch_an_absent_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=message):
        initial_weights_path(weights)


def test_list_marks_the_files_that_are_present(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / PUBLISHED_WEIGHTS["r3d_18_kinetics"].file_name).touch()
    assert main(["list", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1] if line.startswith("*")] == ["r3d_18_kinetics"]
    assert len(lines) == 20


def test_show_describes_the_content_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    state = build_encoder("r2plus1d_narrow").state_dict()
    path = tmp_path / "w.pth"
    torch.save({**state, "fc1.weight": torch.zeros(200, 128), "fc2.weight": torch.zeros(2, 256)}, path)
    assert main(["show", str(path)]) == 0
    output = capsys.readouterr().out
    assert "encoder: r2plus1d_narrow, 887,380 parameters" in output
    assert "head action: 200 classes, feature of 128\nhead region: 2 classes, feature of 256" in output
    assert "published: not known" in output
    assert main(["show", str(tmp_path / "absent.pth")]) == 2
    torch.save({"stem.weight": torch.zeros(1)}, path)
    assert main(["show", str(path)]) == 0
    assert "encoder: none of r2plus1d_34" in capsys.readouterr().out


def test_encoder_registry_imports_neither_torch_nor_the_network() -> None:
    code = "import sys, pipeline.config.encoders; sys.exit('urllib.request' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_published_weights_read_file_name_and_sha256_from_the_url() -> None:
    entry = PublishedWeights("n", "https://example.org/a/b-c-0123abcd.pth", "r3d_18", "action 4", "a test")
    assert (entry.file_name, entry.sha256_prefix) == ("b-c-0123abcd.pth", "0123abcd")

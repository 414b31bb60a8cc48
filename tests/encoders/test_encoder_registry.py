"""What is published can be named, and what is missing says how to get it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch

from pipeline.commands.weights import main
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.architectures import build
from pipeline.encoders.registry import FOLDER, PUBLISHED, Published, weight_file
from pipeline.errors import PipelineError

ROOT = Path(__file__).resolve().parents[2]


def test_the_list_is_complete_and_consistent() -> None:
    of_tsp = [name for name in PUBLISHED if "-tsp_on_" in name or "-tac_on_" in name]
    assert (len(PUBLISHED), len(of_tsp)) == (19, 13)
    assert len({entry.digest for entry in PUBLISHED.values()}) == 19
    for name, entry in PUBLISHED.items():
        assert name == entry.name
        assert entry.url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{8}", entry.digest)
        assert name.startswith(entry.architecture)
        assert entry.architecture in get_args(PretrainEncoder.model_fields["architecture"].annotation)
        assert entry.url.endswith(f"{entry.digest}.pth")


def test_the_default_is_one_of_them_and_of_the_default_architecture() -> None:
    default = PretrainEncoder()
    published = PUBLISHED[str(default.initial_weights)]
    assert published.architecture == default.architecture
    assert published.digest == "0aa0550b"


def test_the_document_shows_every_one() -> None:
    text = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    for entry in PUBLISHED.values():
        assert f"| `{entry.name}` | `{entry.digest}` | {entry.heads} | {entry.what} |" in text


def test_a_name_means_its_file_below_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = PUBLISHED["r2plus1d_34-tsp_on_activitynet"]
    FOLDER.mkdir()
    (FOLDER / entry.file).touch()
    assert weight_file(entry.name) == FOLDER / entry.file
    (tmp_path / "mine.safetensors").touch()
    assert weight_file("mine.safetensors") == Path("mine.safetensors")


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (
            "r3d_18_kinetics",
            r"^weights/r3d_18-b3b3357e\.pth: no such .* fetch r3d_18_kinetics --folder weights$",
        ),
        ("my/r3d_18-b3b3357e.pth", r"^my/r3d.*initial_weights.*fetch r3d_18_kinetics --folder my$"),
        ("absent.pth", r"^absent\.pth: no such weight file \(key initial_weights\)$"),
        (
            "r3d_18_kinetic",
            "neither a file nor the name of published weights; python -m pipeline.commands.weights list",
        ),
    ],
)
def test_what_is_not_there_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=said):
        weight_file(weights)


def test_list_marks_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / PUBLISHED["r3d_18_kinetics"].file).touch()
    assert main(["list", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1] if line.startswith("*")] == ["r3d_18_kinetics"]
    assert len(lines) == 20


def test_show_tells_what_a_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    state = build("r2plus1d_narrow").state_dict()
    path = tmp_path / "w.pth"
    torch.save({**state, "fc1.weight": torch.zeros(200, 128), "fc2.weight": torch.zeros(2, 256)}, path)
    assert main(["show", str(path)]) == 0
    told = capsys.readouterr().out
    assert "encoder: r2plus1d_narrow, 887,380 parameters" in told
    assert "head action: 200 classes, feature of 128\nhead region: 2 classes, feature of 256" in told
    assert "published: not known" in told
    assert main(["show", str(tmp_path / "absent.pth")]) == 2
    torch.save({"stem.weight": torch.zeros(1)}, path)
    assert main(["show", str(path)]) == 0
    assert "none of those that are built here" in capsys.readouterr().out


def test_no_network_module_is_imported_for_naming() -> None:
    code = "import sys, pipeline.encoders.registry; sys.exit('urllib.request' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_entry_reads_its_digest_from_its_url() -> None:
    entry = Published("n", "https://example.org/a/b-c-0123abcd.pth", "r3d_18", "action 4", "a test")
    assert (entry.file, entry.digest) == ("b-c-0123abcd.pth", "0123abcd")

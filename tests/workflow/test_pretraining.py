"""The comparison of encoders, run once on a small dataset with one command."""

import json
from pathlib import Path

import pytest
from helpers.fork_server import fork_environment, forked_snakemake
from helpers.workflow_sandbox import ROOT, link_clone

pytestmark = [pytest.mark.end_to_end, pytest.mark.campaign]


def test_one_command_compares_encoders_on_datasets_of_several_seeds(tmp_path: Path) -> None:
    folder = link_clone(tmp_path)
    tiny = ROOT / "tests" / "workflow" / "tiny.yaml"
    arguments = ["results/demo_pretraining.json", "--cores", "2", "--configfile", str(tiny)]
    process = forked_snakemake(folder, *arguments, **fork_environment())
    assert process.returncode == 0, process.stdout
    result = json.loads((folder / "results" / "demo_pretraining.json").read_text())
    systems = {row["name"]: row for row in result["systems"]}
    assert list(systems) == ["initial", "sa_tsp", "control"]
    assert result["seeds"] == [5, 6]
    for row in systems.values():
        for metric in ("METEOR", "CIDEr"):
            score = row["scores"]["gt"][metric]
            assert len(score["by_seed"]) == len(score["interval"]) == 2
    assert systems["sa_tsp"]["probe"]["region_accuracy"]["mean"] > 0
    assert systems["sa_tsp"]["probe"]["concept_map_by_attribute"].keys() >= {"colour", "shape", "motion"}
    artifacts = result["artifacts"]
    assert artifacts.keys() == {"demo_s5", "demo_s6"}
    digests = {artifacts[seed][name]["weights_sha256"] for seed in artifacts for name in ("initial", "sa_tsp")}
    assert len(digests) == 4, "every seed has its own encoders"
    assert artifacts["demo_s5"]["sa_tsp"]["seconds"]["pretrain_encoder/sa_tsp"] > 0
    assert {"pretrain_encoder", "probe_encoder", "compare_systems"} <= result["code_hashes"].keys()
    trained = result["trained"]
    assert trained["results/demo_s6/encoders/sa_tsp/manifest.json"]["seed"] == 6
    assert trained["results/demo_s6/captioners/on_sa_tsp/0/xe/manifest.json"]["features"] == ["sa_tsp"]
    assert trained.keys() <= result["config_digests"].keys()
    assert "Nothing to be done" in forked_snakemake(folder, *arguments).stdout

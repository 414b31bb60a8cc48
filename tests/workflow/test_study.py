"""The comparison of encoders, once, small: what its one command leaves."""

import json
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, link_clone, snakemake

pytestmark = pytest.mark.road


def test_one_command_compares_encoders_on_corpora_of_several_seeds(tmp_path: Path) -> None:
    folder = link_clone(tmp_path)
    tiny = ROOT / "tests" / "workflow" / "tiny.yaml"
    words = ["results/demo_pretraining.json", "--cores", "2", "--configfile", str(tiny)]
    done = snakemake(folder, *words)
    assert done.returncode == 0, done.stdout
    found = json.loads((folder / "results" / "demo_pretraining.json").read_text())
    assert found["arms"].keys() == {"initial", "sa_tsp", "shuffled"}
    assert found["seeds"] == [5, 6]
    for arm in found["arms"].values():
        for metric in ("METEOR", "CIDEr"):
            assert len(arm[metric]["by_seed"]) == len(arm[metric]["interval"]) == 2
    assert found["arms"]["sa_tsp"]["probe"]["region_accuracy"]["mean"] > 0
    assert found["arms"]["sa_tsp"]["probe"]["concept_map_by_attribute"].keys() >= {"colour", "shape", "motion"}
    made = found["made"]
    assert made.keys() == {"demo_s5", "demo_s6"}
    digests = {made[seed][arm]["weights_sha256"] for seed in made for arm in ("initial", "sa_tsp")}
    assert len(digests) == 4, "every corpus begins anew"
    assert made["demo_s5"]["sa_tsp"]["seconds"]["pretrain_encoder"] > 0
    assert {"pretrain_encoder", "probe_encoder", "compare_encoders"} <= found["code"].keys()
    trained = found["trained"]
    assert trained["results/demo_s6/encoders/sa_tsp/manifest.json"]["seed"] == 6
    assert trained["results/demo_s6/captioners/on_sa_tsp/0/xe/manifest.json"]["features"] == ["sa_tsp"]
    assert trained.keys() <= found["config_digests"].keys()
    assert "Nothing to be done" in snakemake(folder, *words).stdout

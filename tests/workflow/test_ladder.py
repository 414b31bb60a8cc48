"""The ladder of Table 2, once, small: what its one command leaves."""

import json
from pathlib import Path

import pytest
from helpers.workflow_sandbox import ROOT, link_clone, snakemake

pytestmark = pytest.mark.road


def test_one_command_climbs_the_ladder(tmp_path: Path) -> None:
    folder = link_clone(tmp_path)
    tiny = ROOT / "tests" / "workflow" / "tiny_ladder.yaml"
    words = ["results/demo_ladder.json", "--cores", "2", "--configfile", str(tiny)]
    done = snakemake(folder, *words)
    assert done.returncode == 0, done.stdout
    found = json.loads((folder / "results" / "demo_ladder.json").read_text())
    assert [rung["name"] for rung in found["rungs"]] == ["combination", "enlarged", "scst", "both"]
    assert found["rungs"][2]["paper"] == {"gt": 15.89, "learned": 11.42}
    for rung in found["rungs"]:
        for proposals in ("gt", "learned"):
            assert rung[proposals].keys() == {"METEOR", "CIDEr", "Bleu_4", "SODA_c"}
            assert len(rung[proposals]["SODA_c"]["interval"]) == 2
    assert [(row["rung"], row["than"]) for row in found["differences"]] == [
        ("enlarged", "combination"),
        ("scst", "enlarged"),
        ("both", "scst"),
    ]
    results = folder / "results" / "demo_s5"
    assert found["made"]["demo_s5"]["scst"]["seconds"]["enlarged-0"]["finetune_scst"] > 0
    trained = found["trained"]
    assert trained["results/demo_s5/captioners/enlarged/0/xe/manifest.json"]["splits"] == ["train", "enlarged"]
    assert trained["results/demo_s5/captioners/combined/0/xe/manifest.json"]["splits"] == ["train"]
    # One captioner before and after it was finetuned: trained once. What a rung adds is nothing but what it says.
    assert "results/demo_s5/captioners/enlarged/0/scst/manifest.json" in trained
    assert "results/demo_s5/captioners/combined/0/scst/manifest.json" not in trained
    captions = {path.name for path in (results / "captions").glob("*-test-gt.json")}
    assert captions == {f"{name}-test-gt.json" for name in ("combined-0-xe", "enlarged-0-xe", "enlarged-0", "both")}
    chosen = json.loads((results / "captions" / "both-test-learned.json").read_text())["results"]
    names = {caption["explained"]["name"] for captions in chosen.values() for caption in captions}
    assert names <= {"enlarged-0", "combined-0-xe"}
    assert "Nothing to be done" in snakemake(folder, *words).stdout

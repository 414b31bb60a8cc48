"""The ablation of Table 2, run once on a small dataset with one command."""

import json
from pathlib import Path

import pytest
from helpers.fork_server import fork_environment, forked_snakemake
from helpers.workflow_sandbox import ROOT, link_clone

pytestmark = [pytest.mark.end_to_end, pytest.mark.campaign]


def test_one_command_runs_the_ablation(tmp_path: Path) -> None:
    folder = link_clone(tmp_path)
    tiny = ROOT / "tests" / "workflow" / "tiny_ablation.yaml"
    arguments = ["results/demo_ablation.json", "--cores", "2", "--configfile", str(tiny)]
    process = forked_snakemake(folder, *arguments, **fork_environment())
    assert process.returncode == 0, process.stdout
    result = json.loads((folder / "results" / "demo_ablation.json").read_text())
    assert [row["name"] for row in result["systems"]] == ["combination", "enlarged", "scst", "both"]
    assert result["systems"][2]["paper"] == {"gt": {"METEOR": 15.89}, "learned": {"METEOR": 11.42}}
    for row in result["systems"]:
        for proposals in ("gt", "learned"):
            assert row["scores"][proposals].keys() == {"METEOR", "CIDEr", "Bleu_4", "SODA_c"}
            assert len(row["scores"][proposals]["SODA_c"]["interval"]) == 2
    assert [(row["system"], row["compared_to"]) for row in result["differences"]] == [
        ("enlarged", "combination"),
        ("scst", "enlarged"),
        ("both", "scst"),
    ]
    results = folder / "results" / "demo_s5"
    assert result["artifacts"]["demo_s5"]["scst"]["seconds"]["finetune_scst/enlarged-0"] > 0
    trained = result["trained"]
    assert trained["results/demo_s5/captioners/enlarged/0/xe/manifest.json"]["splits"] == ["train", "enlarged"]
    assert trained["results/demo_s5/captioners/combined/0/xe/manifest.json"]["splits"] == ["train"]
    # The captioner before and after finetuning is trained once; a captioner that is used before SCST is not finetuned.
    assert "results/demo_s5/captioners/enlarged/0/scst/manifest.json" in trained
    assert "results/demo_s5/captioners/combined/0/scst/manifest.json" not in trained
    captions = {path.name for path in (results / "captions").glob("*-test-gt.json")}
    assert captions == {f"{name}-test-gt.json" for name in ("combined-0-xe", "enlarged-0-xe", "enlarged-0", "both")}
    selected = json.loads((results / "captions" / "both-test-learned.json").read_text())["results"]
    names = {caption["explained"]["name"] for captions in selected.values() for caption in captions}
    assert names <= {"enlarged-0", "combined-0-xe"}
    assert "Nothing to be done" in forked_snakemake(folder, *arguments).stdout

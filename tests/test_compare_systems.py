"""compare_systems: content of the result, invalid comparisons, and how the systems of the demo differ."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.evaluation_files import TRUTH, VAGUE, write_captions, write_corpus

from pipeline.compare_systems import main
from pipeline.comparison.scored_datasets import score_caption_files
from pipeline.config.compare_systems import ComparisonEntry, collect_ensembles
from pipeline.config.evaluate import Evaluate
from pipeline.config.load import CONFIG, load_config
from pipeline.errors import PipelineError
from pipeline.report.comparison_plot import draw_comparison

FOLDER = Path(__file__).resolve().parents[1] / CONFIG
LOW = {
    "name": "low",
    "label": "Low",
    "members": [{"captioner": "c", "before_scst": True}],
    "paper": {"gt": {"METEOR": 12.0}},
}
MIDDLE = {
    "name": "middle",
    "members": [{"captioner": "c"}],
    "paper": {"gt": {"METEOR": 15.5}, "learned": {"METEOR": 11.0}},
}
HIGH = {
    "name": "high",
    "members": [{"captioner": "c"}, {"captioner": "c", "seed": 1}],
    "paper": {"learned": {"METEOR": 11.5}},
}
SCORES = {"metrics": ["METEOR", "Bleu", "SODA_c"], "bootstrap": 50}
ABLATION: dict[str, Any] = {
    "systems": [LOW, MIDDLE, HIGH],
    "seeds": [1, 4],
    "proposals": ["gt", "learned"],
    "scores": SCORES,
}
ENCODERS: dict[str, Any] = {
    "systems": [
        {"name": "poor", "feature": "poor", "members": [{"captioner": "on_poor"}]},
        {"name": "good", "feature": "good", "members": [{"captioner": "on_good"}]},
    ],
    "control": "poor",
    "seeds": [1, 4],
    "pairs": [{"system": "good", "compared_to": "poor"}, {"system": "poor", "compared_to": "control"}],
    "scores": {"metrics": ["METEOR", "CIDEr"], "bootstrap": 50},
}


def write_ablation(folder: Path, *datasets: str) -> list[str]:
    """Write results in which the captions of `low` are vague and all others correct; return the arguments."""
    for name in datasets:
        results = folder / name
        write_corpus(results / "corpus", [(video, "test", True) for video in TRUTH], {"test_1": TRUTH})
        for proposals in ("gt", "learned"):
            for prefix, captions in (("c-0-xe", VAGUE), ("c-0", TRUTH), ("high", TRUTH)):
                write_captions(results / "captions" / f"{prefix}-test-{proposals}.json", captions)
        for stage, seconds in (("train_captioner", 12.34), ("finetune_scst", 7)):
            benchmark = results / "benchmarks" / stage / "c-0.jsonl"
            benchmark.parent.mkdir(parents=True)
            benchmark.write_text(json.dumps({"s": seconds}) + "\n")
    return ["--dataset", str(folder / "toy"), "--output", str(folder / "toy_ablation.json")]


def probe_file(encoder: str, accuracy: float) -> dict[str, Any]:
    """Return the part of a result of `probe_encoder` that the comparison reads."""
    precision = {"mean_average_precision": accuracy / 2, "chance": 0.1, "concepts": 3}
    return {
        "encoder": encoder,
        "weights_sha256": f"weights of {encoder}",
        "action": {"accuracy": accuracy, "majority": 0.25},
        "region": {"accuracy": accuracy, "majority": 0.5},
        "concepts": {"all": precision, "by_part_of_speech": {"NOUN": precision}, "by_attribute": {"size": None}},
    }


def write_encoders(folder: Path) -> list[str]:
    """Write results in which the captions of `good` are correct and those of `poor` vague; return the arguments."""
    for seed in (1, 4):
        results = folder / f"toy_s{seed}"
        write_corpus(results / "corpus", [(video, "test", True) for video in TRUTH], {"test_1": TRUTH})
        for encoder, captions in (("poor", VAGUE), ("good", TRUTH)):
            write_captions(results / "captions" / f"on_{encoder}-0-test-gt.json", captions)
            probe = results / "probes" / f"{encoder}.json"
            probe.parent.mkdir(exist_ok=True)
            probe.write_text(json.dumps(probe_file(encoder, 0.5 + 0.25 * (encoder == "good"))))
        write_captions(results / "captions" / "on_poor-0-test-control.json", VAGUE)
        benchmark = results / "benchmarks" / "pretrain_encoder" / "good.jsonl"
        benchmark.parent.mkdir(parents=True)
        benchmark.write_text('{"s": 7}\n{"s": 12.34}\n')
    return ["--dataset", str(folder / "toy"), "--output", str(folder / "toy_pretraining.json")]


def test_compare_systems_reports_scores_differences_and_artifacts_of_an_ablation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = write_ablation(tmp_path, "toy_s1", "toy_s4")
    assert main([*arguments, "--config", json.dumps(ABLATION)]) == 0
    result = json.loads((tmp_path / "toy_ablation.json").read_text())
    low, middle, high = result["systems"]
    assert (low["members"], high["members"]) == (["c-0-xe"], ["c-0", "c-1"])
    assert (low["label"], middle["label"]) == ("Low", "middle")
    assert low["paper"] == {"gt": {"METEOR": 12.0}}
    assert low["scores"]["gt"].keys() == {"METEOR", "Bleu_4", "SODA_c"}
    meteor = {row["name"]: row["scores"]["gt"]["METEOR"]["mean"] for row in result["systems"]}
    assert meteor["middle"] > 0.9 > meteor["low"] > 0.1
    assert middle["scores"]["learned"]["SODA_c"]["mean"] > 0.9
    gain, none = result["differences"]
    assert (gain["system"], gain["compared_to"]) == ("middle", "low")
    assert gain["scores"]["gt"]["METEOR"]["mean"] == pytest.approx(meteor["middle"] - meteor["low"])
    least, most = gain["scores"]["gt"]["METEOR"]["interval"]
    assert 0 < least <= gain["scores"]["gt"]["METEOR"]["mean"] <= most
    assert none["scores"]["learned"]["Bleu_4"] == {"mean": 0.0, "by_seed": [0.0, 0.0], "interval": [0.0, 0.0]}
    assert gain["paper"] == {"gt": {"METEOR": 3.5}}
    assert none["paper"] == {"learned": {"METEOR": 0.5}}
    artifacts = result["artifacts"]["toy_s4"]
    assert artifacts["low"]["seconds"] == {"train_captioner/c-0": 12.3}
    assert artifacts["high"]["seconds"] == {"train_captioner/c-0": 12.3, "finetune_scst/c-0": 7.0}
    assert artifacts["low"]["captions_sha256"]["gt"] != artifacts["middle"]["captions_sha256"]["gt"]
    assert result["settings"] == ComparisonEntry.parse(ABLATION, "").model_dump(mode="json")
    table = capsys.readouterr().out
    assert "| Low |" in table
    assert "| middle - Low |" in table
    assert "| +3.50 |" in table
    picture = (tmp_path / "toy_ablation.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    draw_comparison(result, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == picture


def test_compare_systems_reports_probes_and_the_control_of_encoders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*write_encoders(tmp_path), "--config", json.dumps(ENCODERS)]) == 0
    result = json.loads((tmp_path / "toy_pretraining.json").read_text())
    systems = {row["name"]: row for row in result["systems"]}
    assert list(systems) == ["poor", "good", "control"]
    assert "probe" not in systems["control"]
    good, poor = systems["good"], systems["poor"]
    assert good["scores"]["gt"]["METEOR"]["mean"] > 0.9 > poor["scores"]["gt"]["METEOR"]["mean"] > 0.1
    cider = good["scores"]["gt"]["CIDEr"]
    assert len(cider["by_seed"]) == len(cider["interval"]) == 2
    assert good["probe"]["action_accuracy"] == {"mean": 0.75, "by_seed": [0.75, 0.75]}
    assert good["probe"]["chance"]["region_accuracy"]["mean"] == 0.5
    assert good["probe"]["concept_map_by_part_of_speech"]["NOUN"]["mean"] == 0.375
    assert good["probe"]["concept_map_by_attribute"] == {"size": None}
    gain, none = result["differences"]
    means = [row["scores"]["gt"]["METEOR"]["mean"] for row in (gain, good, poor)]
    assert means[0] == pytest.approx(means[1] - means[2])
    low, high = gain["scores"]["gt"]["METEOR"]["interval"]
    assert 0 < low <= means[0] <= high
    assert gain["probe"]["action_accuracy"]["by_seed"] == [0.25, 0.25]
    assert none["scores"]["gt"]["METEOR"] == {"mean": 0.0, "by_seed": [0.0, 0.0], "interval": [0.0, 0.0]}
    assert "probe" not in none, "the control has no probes"
    artifacts = result["artifacts"]["toy_s4"]
    assert artifacts["good"]["weights_sha256"] == "weights of good"
    assert artifacts["good"]["seconds"] == {"pretrain_encoder/good": 12.3}
    assert artifacts["control"].keys() == {"captions_sha256"}
    assert result["settings"] == ComparisonEntry.parse(ENCODERS, "").model_dump(mode="json")
    assert "| good - poor |" in capsys.readouterr().out
    picture = (tmp_path / "toy_pretraining.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    (tmp_path / "again").mkdir()
    assert main([*write_encoders(tmp_path / "again"), "--config", json.dumps(ENCODERS)]) == 0
    assert (tmp_path / "again" / "toy_pretraining.png").read_bytes() == picture


def test_compare_systems_uses_the_dataset_itself_without_seeds() -> None:
    assert ComparisonEntry.parse(ABLATION | {"seeds": []}, "").datasets("toy") == ["toy"]
    assert ComparisonEntry.parse(ABLATION, "").datasets("toy") == ["toy_s1", "toy_s4"]


def test_compare_systems_names_missing_captions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_ablation(tmp_path, "toy_s1", "toy_s4")
    (tmp_path / "toy_s1" / "captions" / "high-test-learned.json").unlink()
    assert main([*arguments, "--config", json.dumps(ABLATION)]) == 2
    assert "toy_s1/captions/high-test-learned.json: no such captions" in capsys.readouterr().err
    assert not (tmp_path / "toy_ablation.json").exists()


def test_compare_systems_names_missing_probes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write_encoders(tmp_path)
    (tmp_path / "toy_s4" / "probes" / "good.json").unlink()
    assert main([*arguments, "--config", json.dumps(ENCODERS)]) == 2
    assert "toy_s4/probes/good.json: no such probes" in capsys.readouterr().err


def test_score_caption_files_gives_0_to_a_video_without_captions_in_every_metric(tmp_path: Path) -> None:
    write_ablation(tmp_path, "toy")
    path = tmp_path / "toy" / "captions" / "c-0-test-gt.json"
    write_captions(path, {video: events for video, events in TRUTH.items() if video != "v_2"})
    scores = score_caption_files(tmp_path / "toy", {"some": path}, "test", Evaluate.parse(SCORES, ""))
    assert scores.videos == ("v_0", "v_1", "v_2", "v_3")
    for metric in ("METEOR", "Bleu_4", "SODA_c"):
        values = scores.values[metric]["some"]
        assert np.flatnonzero(values == 0).tolist() == [2], metric


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        (ABLATION | {"systems": [LOW, LOW]}, "systems lists low twice"),
        (ABLATION | {"seeds": [1, 1]}, "seeds lists 1 twice"),
        (ABLATION | {"proposals": ["gt", "gt"]}, "proposals lists gt twice"),
        (ABLATION | {"systems": []}, "systems"),
        (ABLATION | {"systems": [LOW | {"name": "Low-1"}]}, "'Low-1'.*small letters, digits and _"),
        (ABLATION | {"systems": [LOW | {"name": "control"}]}, "'control'.*reserved"),
        (ABLATION | {"systems": [LOW | {"members": []}]}, "'low'.*'ensemble'"),
        (ABLATION | {"systems": [LOW | {"name": "ensemble"}]}, "'ensemble'.*members"),
        (
            ABLATION | {"systems": [LOW | {"members": [{"captioner": "c"}, {"captioner": "c"}]}]},
            "members lists c-0 twice",
        ),
        (ABLATION | {"proposals": ["gt"]}, "'middle'.*'learned'"),
        (ENCODERS | {"control": "best"}, "control = 'best'"),
        (ENCODERS | {"proposals": ["learned"]}, "control = 'poor'.*'gt'"),
        (ENCODERS | {"pairs": [{"system": "good", "compared_to": "nothing"}]}, "pairs: 'nothing'"),
        (ENCODERS | {"control": None}, "pairs: 'control'"),
        (ENCODERS | {"systems": [HIGH | {"feature": "good"}], "control": None}, "'high'.*one member"),
    ],
)
def test_comparison_rejects_invalid_settings(changes: dict[str, Any], facts: str) -> None:
    with pytest.raises(PipelineError, match=facts):
        ComparisonEntry.parse(changes, "")


def test_ensembles_rejects_two_ensembles_of_one_name() -> None:
    first = ComparisonEntry.parse(ABLATION, "")
    assert list(collect_ensembles([first, first])) == ["high"]
    other = ComparisonEntry.parse({"systems": [HIGH | {"members": HIGH["members"][::-1], "paper": {}}]}, "")
    with pytest.raises(ValueError, match="'high'"):
        collect_ensembles([first, other])


@pytest.mark.parametrize("name", ["test_meteor", "submission", "meteor", "a_b", "Upper"])
def test_load_config_rejects_names_of_comparisons_that_collide_with_other_results(name: str) -> None:
    with pytest.raises(PipelineError, match=f"compare_systems.{name}"):
        load_config("demo", {"compare_systems": {name: {"systems": [{"name": "ensemble"}]}}}, FOLDER)


def test_load_config_rejects_comparisons_of_captioners_that_do_not_exist() -> None:
    with pytest.raises(PipelineError, match=r"compare_systems\.ablation\.systems\.low\.members names 'c'"):
        load_config("demo", {"compare_systems": {"ablation": {"systems": [LOW]}}}, FOLDER)


def test_load_config_rejects_a_probed_feature_that_the_captioner_does_not_read_alone() -> None:
    system = {"name": "initial", "feature": "initial", "members": [{"captioner": "on_tsp"}]}
    comparison = {"systems": [system], "control": "initial", "pairs": []}
    with pytest.raises(PipelineError, match="captioner 'on_tsp' reads tsp, not initial"):
        load_config("demo", {"compare_systems": {"pretraining": comparison}}, FOLDER)


def test_encoders_of_the_demo_differ_in_their_heads_alone() -> None:
    config = load_config("demo", {}, FOLDER)
    features = [str(system.feature) for system in config.compare_systems["pretraining"].systems]
    encoders = {feature: config.pretrain_encoder[feature].model_dump() for feature in features}
    initial = encoders.pop("initial")
    assert initial["epochs"] == 0
    tsp = encoders["tsp"]
    assert all(initial[key] == tsp[key] for key in ("architecture", "initial_weights", "clip", "seed"))
    changed = {name: {key for key in encoder if encoder[key] != tsp[key]} for name, encoder in encoders.items()}
    assert changed["sa_tsp"] == {"losses"}
    # Without background an epoch has half the clips: with half the batch, as many steps over the same clips of actions.
    assert changed["tac"] == {"losses", "batch_size", "global_feature"}
    assert 2 * encoders["tac"]["batch_size"] == tsp["batch_size"]
    losses = {name: encoder["losses"] for name, encoder in encoders.items()}
    assert losses["tac"]["region"] is None
    assert all(losses[name]["region"] == losses["tsp"]["region"] for name in losses if name != "tac")
    assert all(losses[name]["action"] == losses["tsp"]["action"] for name in losses)
    weights = {name: terms["concepts"] and terms["concepts"].pop("weight") for name, terms in losses.items()}
    assert weights == {"tac": None, "tsp": None, "sa_tsp": 1.0}


def test_features_of_the_demo_are_extracted_and_captioned_alike() -> None:
    config = load_config("demo", {}, FOLDER)
    comparison = config.compare_systems["pretraining"]
    features = [str(system.feature) for system in comparison.systems]
    extractions = [config.extract_features[feature].root.model_dump(exclude={"encoder"}) for feature in features]
    members = [member for system in comparison.systems for member in system.members]
    captioners = [config.train_captioner[member.captioner].model_dump(exclude={"features"}) for member in members]
    assert all(extraction == extractions[0] for extraction in extractions)
    assert all(captioner == captioners[0] for captioner in captioners)
    assert {(member.seed, member.before_scst) for member in members} == {(0, False)}
    assert [config.extract_features[feature].root.encoder for feature in features] == features
    tuned = {config.make_demo.seed, *(encoder.seed for encoder in config.pretrain_encoder.values())}
    assert not tuned & set(comparison.seeds), "settings were chosen on these seeds"


def test_systems_of_the_ablation_follow_table_2_and_add_one_thing_each() -> None:
    config = load_config("demo", {}, FOLDER)
    ablation = config.compare_systems["ablation"]
    single, combination, enlarged, scst, five = ablation.systems
    papers = [
        tuple(system.paper.get(proposals, {}).get("METEOR") for proposals in ("gt", "learned"))
        for system in ablation.systems
    ]
    assert papers == [(11.70, None), (12.28, 8.16), (12.33, 8.03), (15.89, 11.42), (16.19, 11.50)]

    def captioner(system: Any) -> dict[str, Any]:
        (member,) = system.members
        return config.train_captioner[member.captioner].model_dump()

    def changed(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
        return {key for key in first if first[key] != second[key]}

    assert changed(captioner(single), captioner(combination)) == {"features", "missing"}
    assert set(captioner(single)["features"]) < set(captioner(combination)["features"])
    assert changed(captioner(combination), captioner(enlarged)) == {"splits"}
    # The captioner of the system before, finetuned; then this captioner and four others.
    assert scst.members[0] == enlarged.members[0].model_copy(update={"before_scst": False})
    assert scst.members[0] == five.members[0]
    assert len(five.members) == 5
    features = [config.train_captioner[member.captioner].model_dump()["features"] for member in five.members]
    assert len(set(map(tuple, features))) >= 3, "feature combinations"
    assert len({member.seed for member in five.members}) >= 2, "seeds"
    captioners = [config.train_captioner[member.captioner].model_dump() for member in five.members]
    assert all(changed(captioners[0], other) <= {"features"} for other in captioners)
    assert not any(member.before_scst for member in five.members)
    tuned = {config.make_demo.seed, *(encoder.seed for encoder in config.pretrain_encoder.values())}
    assert not tuned & set(ablation.seeds), "settings were chosen on these seeds"

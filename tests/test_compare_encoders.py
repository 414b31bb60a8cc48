"""Encoders beside one another: what the result holds, and that the demo's arms are trained alike."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.evaluation_files import TRUTH, VAGUE, write_captions, write_corpus

from pipeline.compare_encoders import main
from pipeline.config.compare_encoders import CompareEncoders
from pipeline.config.load import CONFIG, load
from pipeline.errors import PipelineError

FOLDER = Path(__file__).resolve().parents[1] / CONFIG
ARMS = [{"feature": "poor", "captioner": "on_poor"}, {"feature": "good", "captioner": "on_good"}]
PAIRS = [{"arm": "good", "than": "poor"}, {"arm": "poor", "than": "shuffled"}]
CONFIG_OF_TWO = {
    "arms": ARMS,
    "floor": "poor",
    "seeds": [1, 4],
    "pairs": PAIRS,
    "scores": {"metrics": ["METEOR", "CIDEr"], "bootstrap": 50},
}


def probes(encoder: str, accuracy: float) -> dict[str, Any]:
    """What `probe_encoder` writes, as far as it is looked at."""
    mean = {"mean_average_precision": accuracy / 2, "chance": 0.1, "concepts": 3}
    return {
        "encoder": encoder,
        "weights_sha256": f"weights of {encoder}",
        "action": {"accuracy": accuracy, "majority": 0.25},
        "region": {"accuracy": accuracy, "majority": 0.5},
        "concepts": {"all": mean, "by_part_of_speech": {"NOUN": mean}, "by_attribute": {"size": None}},
    }


def write(folder: Path) -> list[str]:
    """Two corpora on which one encoder's captions are right and the other's vague; gives the command's words."""
    for seed in (1, 4):
        results = folder / f"toy_s{seed}"
        videos = [(video, "test", True) for video in TRUTH]
        write_corpus(results / "corpus", videos, {"test_1": TRUTH})
        for arm, said in (("poor", VAGUE), ("good", TRUTH)):
            write_captions(results / "captions" / f"on_{arm}-0-test-gt.json", said)
            probe = results / "probes" / f"{arm}.json"
            probe.parent.mkdir(exist_ok=True)
            probe.write_text(json.dumps(probes(arm, 0.5 + 0.25 * (arm == "good"))))
        write_captions(results / "captions" / "on_poor-0-test-control.json", VAGUE)
        noted = results / "benchmarks" / "pretrain_encoder" / "good.jsonl"
        noted.parent.mkdir(parents=True)
        noted.write_text('{"s": 7}\n{"s": 12.34}\n')
    return ["--dataset", str(folder / "toy"), "--output", str(folder / "toy_pretraining.json")]


def test_the_result_tells_arms_differences_and_where_they_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*write(tmp_path), "--config", json.dumps(CONFIG_OF_TWO)]) == 0
    found = json.loads((tmp_path / "toy_pretraining.json").read_text())
    assert found["arms"].keys() == {"poor", "good", "shuffled"}
    assert "probe" not in found["arms"]["shuffled"]
    good, poor = found["arms"]["good"], found["arms"]["poor"]
    assert good["METEOR"]["mean"] > 0.9 > poor["METEOR"]["mean"] > 0.1
    assert len(good["CIDEr"]["by_seed"]) == len(good["CIDEr"]["interval"]) == 2
    assert good["probe"]["action_accuracy"] == {"mean": 0.75, "by_seed": [0.75, 0.75]}
    assert good["probe"]["chance"]["region_accuracy"]["mean"] == 0.5
    assert good["probe"]["concept_map_by_part_of_speech"]["NOUN"]["mean"] == 0.375
    assert good["probe"]["concept_map_by_attribute"] == {"size": None}
    more, nothing = found["differences"]
    assert more["METEOR"]["mean"] == pytest.approx(good["METEOR"]["mean"] - poor["METEOR"]["mean"])
    low, high = more["METEOR"]["interval"]
    assert 0 < low <= more["METEOR"]["mean"] <= high
    assert more["action_accuracy"]["by_seed"] == [0.25, 0.25]
    assert nothing["METEOR"] == {"mean": 0.0, "by_seed": [0.0, 0.0], "interval": [0.0, 0.0]}
    assert "action_accuracy" not in nothing, "nobody probes shuffled features"
    made = found["made"]["toy_s4"]["good"]
    assert made["weights_sha256"] == "weights of good"
    assert made["seconds"] == {"pretrain_encoder": 12.3, "train_captioner": None}
    assert found["settings"] == CompareEncoders.parse(CONFIG_OF_TWO, "").model_dump(mode="json")
    assert "| good - poor |" in capsys.readouterr().out
    picture = (tmp_path / "toy_pretraining.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    (tmp_path / "again").mkdir()
    assert main([*write(tmp_path / "again"), "--config", json.dumps(CONFIG_OF_TWO)]) == 0
    assert (tmp_path / "again" / "toy_pretraining.png").read_bytes() == picture


def test_what_is_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = write(tmp_path)
    (tmp_path / "toy_s4" / "probes" / "good.json").unlink()
    assert main([*words, "--config", json.dumps(CONFIG_OF_TWO)]) == 2
    assert "toy_s4/probes/good.json: no such probes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"floor": "best"}, "floor names 'best'"),
        ({"pairs": [{"arm": "good", "than": "nothing"}]}, "pairs names 'nothing'"),
        ({"pairs": [{"arm": "shuffled", "than": "good"}]}, "pairs names 'shuffled'"),
        ({"seeds": [1, 1]}, "seeds names one twice"),
        ({"arms": [*ARMS, ARMS[0]]}, "arms names one twice"),
        ({"arms": [{"feature": "shuffled", "captioner": "x"}], "floor": "shuffled"}, "the name of the floor"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_told_before_it_begins(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        CompareEncoders.parse(CONFIG_OF_TWO | changed, "")


def test_captioners_of_arms_read_the_arms_feature_alone() -> None:
    arm = {"feature": "initial", "captioner": "on_tsp"}
    with pytest.raises(PipelineError, match="captioner 'on_tsp' reads tsp, not initial"):
        load("demo", {"compare_encoders": {"arms": [arm], "floor": "initial", "pairs": []}}, FOLDER)


def test_the_demos_arms_are_trained_alike() -> None:
    config = load("demo", {}, FOLDER)
    trained = {arm.feature: config.pretrain_encoder[arm.feature].model_dump() for arm in config.compare_encoders.arms}
    start = trained.pop("initial")
    assert start["epochs"] == 0
    tsp = trained["tsp"]
    assert all(start[key] == tsp[key] for key in ("architecture", "initial_weights", "clip", "seed"))
    changed = {name: {key for key in arm if arm[key] != tsp[key]} for name, arm in trained.items()}
    for name in ("sa_tsp", "sa_tsp_b01", "sa_tsp_b3"):
        assert changed[name] == {"beta"}
    # Without background an epoch has half the clips: with half the batch, as many steps over the same clips of actions.
    assert changed["tac"] == {"alpha", "batch_size", "global_feature"}
    assert 2 * trained["tac"]["batch_size"] == tsp["batch_size"]
    assert sorted(arm["beta"] for arm in trained.values()) == [0.0, 0.0, 0.1, 1.0, 3.0]


def test_the_demos_arms_are_read_and_captioned_alike() -> None:
    config = load("demo", {}, FOLDER)
    arms = config.compare_encoders.arms
    extractions = [config.extract_features[arm.feature].root.model_dump(exclude={"encoder"}) for arm in arms]
    captioners = [config.train_captioner[arm.captioner].model_dump(exclude={"features"}) for arm in arms]
    assert all(one == extractions[0] for one in extractions)
    assert all(one == captioners[0] for one in captioners)
    assert [config.extract_features[arm.feature].root.encoder for arm in arms] == [arm.feature for arm in arms]
    seeds = {config.make_demo.seed, *(encoder.seed for encoder in config.pretrain_encoder.values())}
    assert not seeds & set(config.compare_encoders.seeds), "settings were settled on these"

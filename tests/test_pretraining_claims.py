"""What docs/pretraining.md claims of the encoders holds in the numbers that stand beside it."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.documented_results import decided_otherwise, differing

from pipeline.config.base import Settings
from pipeline.config.load import CONFIG, load

ROOT = Path(__file__).resolve().parents[1]
TRAINED = ("tac", "tsp", "sa_tsp_b01", "sa_tsp", "sa_tsp_b3")
LEAST_GAIN = 0.02
"""METEOR of SA-TSP above TSP."""


def broken(found: dict[str, Any]) -> list[str]:
    """Claims that a comparison does not bear out."""
    gains = {(row["arm"], row["than"]): row for row in found["differences"]}
    claims = {"sa_tsp is 2 METEOR above tsp": gains["sa_tsp", "tsp"]["METEOR"]["mean"] >= LEAST_GAIN}
    pairs = [("sa_tsp", "tsp"), *((arm, "initial") for arm in TRAINED), ("initial", "shuffled")]
    for arm, than in pairs:
        for metric in ("METEOR", "CIDEr"):
            gain = gains[arm, than][metric]
            # Where a difference is claimed to be clear, its interval excludes 0; elsewhere its mean is above.
            least = gain["interval"][0] if than == "tsp" else gain["mean"]
            claims[f"{arm} is above {than} in {metric}"] = least > 0
    claims["there are three seeds"] = len(set(found["seeds"]) - {0}) >= 3
    return [claim for claim, holds in claims.items() if not holds]


def made_up() -> dict[str, Any]:
    pairs = load("demo", {}, ROOT / CONFIG).compare_encoders.pairs
    gain = {"mean": 0.03, "interval": [0.01, 0.05]}
    rows = [
        {"arm": pair.arm, "than": pair.than, **{metric: copy.deepcopy(gain) for metric in ("METEOR", "CIDEr")}}
        for pair in pairs
    ]
    return {"seeds": [1, 2, 3], "differences": rows}


def test_claims_can_fail() -> None:
    assert broken(made_up()) == []
    unclear = made_up()
    unclear["differences"][0]["CIDEr"]["interval"][0] = -0.01
    unclear["differences"][0]["METEOR"]["mean"] = 0.019
    assert broken(unclear) == ["sa_tsp is 2 METEOR above tsp", "sa_tsp is above tsp in CIDEr"]
    low = made_up()
    low["differences"][-1]["METEOR"]["mean"] = -0.001
    assert broken(low) == ["initial is above shuffled in METEOR"]


def settings_of_today() -> dict[str, Settings]:
    """Output -> the settings that it would be made with today, for all that the arms train."""
    compared = load("demo", {}, ROOT / CONFIG).compare_encoders
    found: dict[str, Settings] = {}
    for seed in compared.seeds:
        config, folder = load(f"demo_s{seed}", {}, ROOT / CONFIG), f"results/demo_s{seed}"
        for arm in compared.arms:
            captioner = f"{arm.captioner}/{compared.captioner_seed}/xe"
            encoder = config.extract_features[arm.feature].root.encoder
            found[f"{folder}/encoders/{encoder}/manifest.json"] = config.pretrain_encoder[encoder]
            found[f"{folder}/captioners/{captioner}/manifest.json"] = config.train_captioner[arm.captioner]
    return found


def test_settings_that_changed_are_found() -> None:
    measured = {"a": {"clip": {"frames": 8}, "lr": [0.1]}}
    assert differing(measured, {"a": {"clip": {"frames": 8, "new": None}, "lr": [0.1]}, "b": {}}) == []
    assert differing(measured, {"a": {"clip": {"frames": 9}, "lr": [0.2]}}) == [".a.clip.frames", ".a.lr.0"]
    assert differing(measured, {}) == [".a"]
    assert differing({"a": [{"b": 1}]}, {"a": [{"b": 1, "new": None}]}) == []
    assert differing({"a": [1, 2]}, {"a": [1]}) == [".a"]


def test_the_numbers_in_the_documents_bear_the_claims_out() -> None:
    path = ROOT / "docs" / "pretraining.json"
    if not path.is_file():
        pytest.skip("docs/pretraining.json, a copy of results/demo_pretraining.json, is not there yet")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert broken(found) == []
    assert differing(found["settings"], load("demo", {}, ROOT / CONFIG).compare_encoders.model_dump(mode="json")) == []
    assert found["trained"].keys() == settings_of_today().keys()
    assert decided_otherwise(found["trained"], settings_of_today()) == [], "measured with other settings"

"""The claims of docs/pretraining.md hold for the numbers in docs/pretraining.json."""

import copy
import json
from pathlib import Path
from typing import Any

from helpers.study_claims import list_wide_intervals

from pipeline.config.load import CONFIG, load_config

ROOT = Path(__file__).resolve().parents[1]
TRAINED = ("tac", "tsp", "sa_tsp")
NEIGHBOURS = (("sa_tsp", "tsp"), ("tsp", "tac"))
"""The differences that the papers report."""


def failed_claims(result: dict[str, Any]) -> list[str]:
    """Return the claims that a result does not support."""
    gains = {(row["system"], row["compared_to"]): row["scores"]["gt"] for row in result["differences"]}
    claims = {}
    pairs = [("sa_tsp", "tsp"), *((system, "initial") for system in TRAINED), ("initial", "control")]
    for system, baseline in pairs:
        for metric in ("METEOR", "CIDEr"):
            gain = gains[system, baseline][metric]
            # Where a difference is claimed to be clear, its interval excludes 0; elsewhere its mean is above.
            least = gain["interval"][0] if baseline == "tsp" else gain["mean"]
            claims[f"{system} is above {baseline} in {metric}"] = least > 0
    scores = {system["name"]: system["scores"]["gt"] for system in result["systems"] if system["name"] != "control"}
    scores |= {f"{system} compared to {baseline}": gains[system, baseline] for system, baseline in NEIGHBOURS}
    claims |= {f"short interval of {name}": False for name in list_wide_intervals(scores)}
    claims["three seeds"] = len(set(result["seeds"]) - {0}) >= 3
    return [claim for claim, holds in claims.items() if not holds]


def supporting_result() -> dict[str, Any]:
    """Return a made-up result that supports all claims."""
    pairs = load_config("demo", {}, ROOT / CONFIG).compare_systems["pretraining"].reported_pairs
    gain = {"mean": 0.03, "interval": [0.026, 0.034]}
    rows = [
        {
            "system": pair.system,
            "compared_to": pair.compared_to,
            "scores": {"gt": {metric: copy.deepcopy(gain) for metric in ("METEOR", "CIDEr")}},
        }
        for pair in pairs
    ]
    systems = [{"name": name, "scores": {"gt": {"METEOR": copy.deepcopy(gain)}}} for name in ("initial", *TRAINED)]
    return {"seeds": [1, 2, 3], "systems": systems, "differences": rows}


def test_claims_of_the_pretraining_comparison_can_fail() -> None:
    assert failed_claims(supporting_result()) == []
    unclear = supporting_result()
    unclear["differences"][0]["scores"]["gt"]["CIDEr"]["interval"][0] = -0.01
    assert failed_claims(unclear) == ["sa_tsp is above tsp in CIDEr"]
    wide = supporting_result()
    wide["systems"][0]["scores"]["gt"]["METEOR"]["interval"][1] += 0.01
    assert failed_claims(wide) == ["short interval of initial"]
    low = supporting_result()
    low["differences"][-1]["scores"]["gt"]["METEOR"]["mean"] = -0.001
    assert failed_claims(low) == ["initial is above control in METEOR"]


def test_documented_pretraining_supports_its_claims() -> None:
    record = json.loads((ROOT / "docs" / "pretraining.json").read_text(encoding="utf-8"))
    assert failed_claims(record) == []

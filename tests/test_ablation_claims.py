"""The claims of docs/ablation.md hold for the numbers in docs/ablation.json."""

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from helpers.study_claims import list_wide_intervals

from pipeline.config.load import CONFIG, load_config

ROOT = Path(__file__).resolve().parents[1]
CLEAR = ("enlarged", "scst")
"""Systems whose gain is claimed to be clear: its interval excludes 0."""
UNCLAIMED = ("combination",)
"""Systems that are not claimed to gain anything."""


def failed_claims(result: dict[str, Any]) -> list[str]:
    """Return the claims that a result does not support; all are about METEOR with ground-truth proposals."""
    gains = {row["system"]: (row["compared_to"], row["scores"]["gt"]["METEOR"]) for row in result["differences"]}
    claims = {"three seeds": len(set(result["seeds"]) - {0}) >= 3}
    for system, (baseline, gain) in gains.items():
        if system in UNCLAIMED:
            continue
        holds = (gain["interval"][0] if system in CLEAR else gain["mean"]) > 0
        claims[f"{system} is {'clearly above' if system in CLEAR else 'above'} {baseline}"] = holds
    claims |= {f"{system} is a system": system in gains for system in CLEAR}
    scores = {system["name"]: system["scores"]["gt"] for system in result["systems"]}
    scores |= {f"the gain of {row['system']}": row["scores"]["gt"] for row in result["differences"]}
    claims |= {f"short interval of {name}": False for name in list_wide_intervals(scores)}
    return [claim for claim, holds in claims.items() if not holds]


def supporting_result() -> dict[str, Any]:
    """Return a made-up result that supports all claims."""
    systems = load_config("demo", {}, ROOT / CONFIG).compare_systems["ablation"].systems
    gain = {"METEOR": {"mean": 0.03, "interval": [0.026, 0.034]}}
    rows = [
        {"system": system.name, "compared_to": before.name, "scores": {"gt": copy.deepcopy(gain)}}
        for before, system in pairwise(systems)
    ]
    scored = [{"name": system.name, "scores": {"gt": copy.deepcopy(gain)}} for system in systems]
    return {"seeds": [1, 2, 3], "systems": scored, "differences": rows}


def test_claims_of_the_ablation_can_fail() -> None:
    assert failed_claims(supporting_result()) == []
    unclear = supporting_result()
    unclear["differences"][0]["scores"]["gt"]["METEOR"] = {"mean": -0.003, "interval": [-0.007, 0.001]}
    unclear["differences"][3]["scores"]["gt"]["METEOR"] = {"mean": 0.001, "interval": [-0.003, 0.005]}
    assert failed_claims(unclear) == []
    below = supporting_result()
    below["differences"][1]["scores"]["gt"]["METEOR"] = {"mean": 0.002, "interval": [-0.001, 0.006]}
    below["differences"][3]["scores"]["gt"]["METEOR"] = {"mean": -0.001, "interval": [-0.004, 0.003]}
    assert failed_claims(below) == ["enlarged is clearly above combination", "ensemble_of_five is above scst"]
    wide = supporting_result()
    wide["systems"][2]["scores"]["gt"]["METEOR"]["interval"] = [0.01, 0.05]
    assert failed_claims(wide) == ["short interval of enlarged"]
    few = supporting_result() | {"seeds": [1, 2]}
    del few["differences"][1]
    assert failed_claims(few) == ["three seeds", "enlarged is a system"]


def test_documented_ablation_supports_its_claims() -> None:
    record = json.loads((ROOT / "docs" / "ablation.json").read_text(encoding="utf-8"))
    assert failed_claims(record) == []

"""What docs/ladder.md claims of the ladder holds in the numbers that stand beside it."""

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from helpers.documented_results import decided_otherwise, differing

from pipeline.config.base import Settings
from pipeline.config.load import CONFIG, load

ROOT = Path(__file__).resolve().parents[1]
CLEAR = ("enlarged", "scst")
"""Rungs whose gain is claimed to be clear: its interval excludes 0."""


def broken(found: dict[str, Any]) -> list[str]:
    """Claims that a ladder does not bear out; all of METEOR with ground-truth proposals."""
    gains = {row["rung"]: (row["than"], row["gt"]["METEOR"]) for row in found["differences"]}
    claims = {"there are three seeds": len(set(found["seeds"]) - {0}) >= 3}
    for rung, (than, gain) in gains.items():
        holds = (gain["interval"][0] if rung in CLEAR else gain["mean"]) > 0
        claims[f"{rung} is {'clearly above' if rung in CLEAR else 'above'} {than}"] = holds
    claims |= {f"{rung} is a rung": rung in gains for rung in CLEAR}
    return [claim for claim, holds in claims.items() if not holds]


def made_up() -> dict[str, Any]:
    rungs = load("demo", {}, ROOT / CONFIG).climb_ladder.rungs
    gain = {"METEOR": {"mean": 0.03, "interval": [0.01, 0.05]}}
    rows = [{"rung": rung.name, "than": than.name, "gt": copy.deepcopy(gain)} for than, rung in pairwise(rungs)]
    return {"seeds": [1, 2, 3], "differences": rows}


def test_claims_of_the_ladder_can_fail() -> None:
    assert broken(made_up()) == []
    unclear = made_up()
    unclear["differences"][0]["gt"]["METEOR"] = {"mean": 0.01, "interval": [-0.01, 0.03]}
    assert broken(unclear) == []
    below = made_up()
    below["differences"][0]["gt"]["METEOR"] = {"mean": -0.01, "interval": [-0.03, 0.01]}
    below["differences"][1]["gt"]["METEOR"]["interval"] = [-0.001, 0.05]
    assert broken(below) == ["combination is above single", "enlarged is clearly above combination"]
    few = made_up() | {"seeds": [1, 2]}
    del few["differences"][1]
    assert broken(few) == ["there are three seeds", "enlarged is a rung"]


def settings_of_today() -> dict[str, Settings]:
    """Output -> the settings that it would be made with today, for all captioners of the ladder and their encoders."""
    ladder = load("demo", {}, ROOT / CONFIG).climb_ladder
    found: dict[str, Settings] = {}
    for seed in ladder.seeds:
        config, folder = load(f"demo_s{seed}", {}, ROOT / CONFIG), f"results/demo_s{seed}"
        for encoder in ("sa_tsp", "tsp"):
            found[f"{folder}/encoders/{encoder}/manifest.json"] = config.pretrain_encoder[encoder]
        for member in [member for rung in ladder.rungs for member in rung.members]:
            of = f"{folder}/captioners/{member.captioner}/{member.seed}"
            found[f"{of}/xe/manifest.json"] = config.train_captioner[member.captioner]
            if not member.before_scst:
                found[f"{of}/scst/manifest.json"] = config.finetune_scst
    return found


def test_the_numbers_of_the_ladder_bear_the_claims_out() -> None:
    found = json.loads((ROOT / "docs" / "ladder.json").read_text(encoding="utf-8"))
    assert broken(found) == []
    today = load("demo", {}, ROOT / CONFIG).climb_ladder.model_dump(mode="json")
    assert differing(found["settings"], today) == []
    measured, now = found["trained"], settings_of_today()
    assert now.keys() <= measured.keys(), "not measured"
    assert decided_otherwise(measured, now) == [], "measured with other settings"

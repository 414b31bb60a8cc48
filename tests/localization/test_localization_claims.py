"""The claims of docs/localization.md hold for the numbers in docs/localization.json."""

import copy
import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
CLEAR = (
    ("detections", "gtad", "mAP"),
    ("detections", "bmn", "mAP"),
    ("proposals", "bmn", "AR@1"),
    ("features", "region", "contrast"),
)
"""Task, column and metric in which TSP is clearly above TAC."""


def failed_claims(study: dict[str, Any]) -> list[str]:
    """Return the claims that a study does not support."""
    [gains] = [row["scores"] for row in study["differences"] if (row["system"], row["compared_to"]) == ("tsp", "tac")]
    claims = {f"{column} {metric}": gains[task][column][metric]["interval"][0] > 0 for task, column, metric in CLEAR}
    gain = gains["detections"]["gtad"]
    claims["gtad at high tIoU"] = gain["mAP@0.9"]["mean"] > gain["mAP@0.5"]["mean"]
    claims["three seeds"] = len(set(study["seeds"]) - {0}) >= 3
    return [claim for claim, holds in claims.items() if not holds]


def test_documented_localization_supports_its_claims() -> None:
    study = json.loads((DOCS / "localization.json").read_text(encoding="utf-8"))
    assert failed_claims(study) == []


def test_claims_of_the_localization_study_can_fail() -> None:
    study = json.loads((DOCS / "localization.json").read_text(encoding="utf-8"))
    other = copy.deepcopy(study)
    [gains] = [row["scores"] for row in other["differences"] if row["compared_to"] == "tac"]
    gains["detections"]["bmn"]["mAP"]["interval"][0] = -0.001
    gains["detections"]["gtad"]["mAP@0.9"]["mean"] = -0.5
    assert failed_claims(other) == ["bmn mAP", "gtad at high tIoU"]

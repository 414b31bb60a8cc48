"""The claims of docs/recognition.md hold for the numbers in docs/granularity.json."""

import copy
import json
from pathlib import Path
from typing import Any

from helpers.study_claims import read_intervals

RECORD = Path(__file__).resolve().parents[3] / "docs" / "granularity.json"
CLEAR = (
    ("joint", "likely", "exact match"),
    ("joint", "joint_full", "exact match"),
    ("fine", "coarse", "1 clip"),
    ("fine", "coarse", "5 clips"),
)
"""Row, row that it is clearly above, and column."""


def failed_claims(study: dict[str, Any]) -> list[str]:
    """Return the claims that a study does not support."""
    intervals = read_intervals(study)
    claims = {f"{row} above {other}, {column}": intervals[row, other, column][0] > 0 for row, other, column in CLEAR}
    claims["joint below captions, exact match"] = intervals["joint", "captions", "exact match"][1] < 0
    claims["three seeds"] = len(set(study["seeds"]) - {0}) >= 3
    return [claim for claim, holds in claims.items() if not holds]


def test_documented_granularity_supports_its_claims() -> None:
    assert failed_claims(json.loads(RECORD.read_text(encoding="utf-8"))) == []


def test_claims_of_the_granularity_can_fail() -> None:
    study = copy.deepcopy(json.loads(RECORD.read_text(encoding="utf-8")))
    captions = next(table for table in study["tables"] if "captions" in table["title"])
    captions["differences"][0]["values"]["exact match"]["interval"][1] = 0.1
    study["seeds"] = study["seeds"][:2]
    assert failed_claims(study) == ["joint below captions, exact match", "three seeds"]

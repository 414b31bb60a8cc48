"""The claims of docs/clips.md hold for the numbers in docs/attributes.json."""

import copy
import json
from pathlib import Path
from typing import Any

from helpers.study_claims import read_intervals

RECORD = Path(__file__).resolve().parents[2] / "docs" / "attributes.json"
METRICS = ("CIDEr", "BLEU-4", "METEOR", "ROUGE-L")
CLEAR = (
    *(("base_image", "base_image_on_actions", metric) for metric in METRICS),
    *(("base", "base_on_actions", metric) for metric in METRICS),
    *(("arb_dap", "arb", metric) for metric in ("BLEU-4", "ROUGE-L")),
    ("dap", "frequency", "mAP"),
)
"""Row, row that it is compared to, and column in which it is clearly above it."""
UNCLEAR = (("dap", "base", "CIDEr"), ("topdown_dap", "topdown", "CIDEr"), ("arb_dap", "arb", "CIDEr"))
"""The same of differences that may be 0."""


def failed_claims(study: dict[str, Any]) -> list[str]:
    """Return the claims that a study does not support."""
    intervals = read_intervals(study)
    claims = {f"{row} above {other}, {column}": intervals[row, other, column][0] > 0 for row, other, column in CLEAR}
    for row, other, column in UNCLEAR:
        low, high = intervals[row, other, column]
        claims[f"{row} like {other}, {column}"] = low <= 0 <= high
    claims["nacf_dap below nacf, CIDEr"] = intervals["nacf_dap", "nacf", "CIDEr"][1] < 0
    claims["three seeds"] = len(set(study["seeds"]) - {0}) >= 3
    return [claim for claim, holds in claims.items() if not holds]


def test_documented_attributes_support_their_claims() -> None:
    assert failed_claims(json.loads(RECORD.read_text(encoding="utf-8"))) == []


def test_claims_of_the_attributes_can_fail() -> None:
    study = copy.deepcopy(json.loads(RECORD.read_text(encoding="utf-8")))
    study["tables"][0]["differences"][0]["values"]["CIDEr"]["interval"][0] = -0.1
    study["seeds"] = study["seeds"][:2]
    assert failed_claims(study) == ["base_image above base_image_on_actions, CIDEr", "three seeds"]

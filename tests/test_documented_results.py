"""The guard of documented results: it finds changed settings and changed code, and insists on the notice."""

from pathlib import Path
from typing import Any

import pytest
from helpers.documented_results import (
    STALE,
    changed_code,
    changed_settings,
    check_notice,
    differing_keys,
    notice,
)

from pipeline.config.evaluate import Evaluate
from pipeline.provenance.code_hash import code_hash

RECORD: dict[str, Any] = {"code_hashes": {"make_demo": "a", "pretrain_encoder": "b", "train_captioner": "c"}}


def test_differing_keys_finds_changed_added_and_removed_keys() -> None:
    recorded = {"a": {"clip": {"frames": 8}, "lr": [0.1]}}
    assert differing_keys(recorded, {"a": {"clip": {"frames": 8}, "lr": [0.1]}}) == []
    assert differing_keys(recorded, {"a": {"clip": {"frames": 9}, "lr": [0.2]}}) == [".a.clip.frames", ".a.lr.0"]
    assert differing_keys(recorded, {"a": {"clip": {"frames": 8, "new": None}, "lr": [0.1]}}) == [".a.clip.new"]
    assert differing_keys(recorded, {"a": recorded["a"], "b": {}}) == [".b"]
    assert differing_keys(recorded, {}) == [".a"]
    assert differing_keys({"a": [{"b": 1}]}, {"a": [{"b": 1, "new": None}]}) == [".a.0.new"]
    assert differing_keys({"a": [1, 2]}, {"a": [1]}) == [".a"]


def test_changed_settings_finds_keys_that_the_record_lacks_and_ignores_settings_of_the_machine() -> None:
    today = Evaluate.parse({"bootstrap": 50}, "")
    recorded = today.model_dump(mode="json")
    assert changed_settings({"x": recorded | {"workers": 99}}, {"x": today}) == []
    del recorded["workers"]
    assert changed_settings({"x": recorded}, {"x": today}) == []
    assert changed_settings({"x": recorded | {"bootstrap": 51}}, {"x": today}) == ["x.bootstrap"]
    del recorded["max_proposals"]
    assert changed_settings({"x": recorded}, {"x": today}) == ["x.max_proposals"], "today's default may change results"


def test_changed_code_finds_other_hashes_and_stages_that_are_gone() -> None:
    current = {"make_demo": code_hash("pipeline.make_demo")}
    assert changed_code({"code_hashes": current}) == []
    assert changed_code({"code_hashes": {"make_demo": "0" * 16, "no_such_stage": "1" * 16}}) == [
        "make_demo",
        "no_such_stage",
    ]


def test_check_notice_wants_the_notice_of_a_stale_record_and_of_no_other(tmp_path: Path) -> None:
    document = tmp_path / "x.md"
    document.write_text(f"# x\n\n{notice(RECORD)}\n")
    check_notice(document, RECORD, ["make_demo"])
    with pytest.raises(AssertionError, match=r"x\.md"):
        check_notice(document, RECORD, [])
    with pytest.raises(AssertionError, match="make_demo"):
        check_notice(document, {"code_hashes": RECORD["code_hashes"] | {"make_demo": "d"}}, ["make_demo"])
    document.write_text("# x\n")
    check_notice(document, RECORD, [])
    assert STALE not in document.read_text()
    with pytest.raises(AssertionError, match="make_demo"):
        check_notice(document, RECORD, ["make_demo"])

"""Proposals made elsewhere."""

import csv
import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.localization.proposal_files import admit, read_given
from pipeline.localization.proposals import Proposal

NAN = math.nan


def reasons(rows: list[dict[str, str]]) -> dict[str, int]:
    return dict(Counter(row["reason"] for row in rows))


def one(start: float, end: float, score: float = 0.5) -> tuple[list[Proposal], list[dict[str, str]]]:
    """What becomes of one proposal of a video of 10 s that has a good one too."""
    good = ("v_a", Proposal(1.0, 2.0, 0.9))
    found, rows = admit([("v_a", Proposal(start, end, score)), good], {"v_a": 10.0}, "p.json")
    return [kept for kept in found["v_a"] if kept != good[1]], rows


@pytest.mark.parametrize(
    ("start", "end", "kept", "reason"),
    [
        (3.0, 4.0, (3.0, 4.0), None),
        (3.0, 12.0, (3.0, 10.0), "clipped"),
        (-1.0, 4.0, (0.0, 4.0), "clipped"),
        (-5.0, 50.0, (0.0, 10.0), "clipped"),
        (11.0, 12.0, None, "outside"),
        (-3.0, -2.0, None, "outside"),
        (10.0, 12.0, None, "zero_length"),
        (3.0, 3.0, None, "zero_length"),
        (4.0, 3.0, None, "reversed"),
        (NAN, 3.0, None, "not_a_number"),
        (3.0, math.inf, None, "not_a_number"),
    ],
)
def test_each_flaw_has_its_rule(start: float, end: float, kept: tuple[float, float] | None, reason: str | None) -> None:
    found, rows = one(start, end)
    assert [(this.start, this.end) for this in found] == ([kept] if kept else [])
    assert [row["reason"] for row in rows] == ([reason] if reason else [])
    assert all((row["video"], row["source"]) == ("v_a", "p.json") for row in rows)


def test_a_score_that_is_no_number_is_left_out() -> None:
    found, rows = one(3.0, 4.0, NAN)
    assert not found
    assert rows[0]["reason"] == "not_a_number"
    assert rows[0]["detail"] == "3 to 4 s, score nan"


def test_of_duplicates_the_best_is_kept_clipped_ones_too() -> None:
    these = [Proposal(3.0, 11.0, 0.2), Proposal(3.0, 10.0, 0.7), Proposal(3.0, 10.0, 0.4)]
    found, rows = admit([("v_a", this) for this in these], {"v_a": 10.0}, "p.json")
    assert found == {"v_a": [Proposal(3.0, 10.0, 0.7)]}
    assert reasons(rows) == {"clipped": 1, "duplicate": 2}
    assert [row["detail"][-3:] for row in rows if row["reason"] == "duplicate"] == ["0.2", "0.4"]


def test_videos_are_known_with_or_without_the_prefix() -> None:
    known = {"v_a": 10.0, "b": None, "v_c": 10.0}
    proposal = Proposal(1.0, 200.0, 0.5)
    found, rows = admit([("a", proposal), ("b", proposal), ("z", proposal), ("z", proposal)], known, "p.json")
    assert found == {"b": [proposal], "v_a": [Proposal(1.0, 10.0, 0.5)]}
    assert [(row["video"], row["reason"], row["detail"]) for row in rows] == [
        ("v_a", "clipped", "1 to 200 s, score 0.5"),
        ("z", "unknown_video", "2 proposals"),
        ("v_c", "no_proposals", ""),
        ("b", "unknown_duration", "1 proposals"),
    ]


anything = st.floats(-20, 30) | st.sampled_from([NAN, math.inf, 0.0, 10.0])


@given(st.lists(st.tuples(st.sampled_from(["a", "v_a", "z"]), anything, anything, anything), max_size=8))
def test_nothing_is_lost_and_what_is_kept_lies_in_its_video(rows: list[tuple[str, float, float, float]]) -> None:
    found, rejects = admit(((video, Proposal(*rest)) for video, *rest in rows), {"v_a": 10.0}, "p.json")
    kept = found.get("v_a", [])
    told = reasons(rejects)
    strangers = sum(int(row["detail"].split()[0]) for row in rejects if row["reason"] == "unknown_video")
    dropped = sum(told.get(name, 0) for name in ("not_a_number", "reversed", "outside", "zero_length", "duplicate"))
    assert len(kept) + dropped + strangers == len(rows)
    assert kept == sorted(kept)
    assert len({(this.start, this.end) for this in kept}) == len(kept)
    assert all(0 <= this.start < this.end <= 10 and math.isfinite(this.score) for this in kept)
    assert told.get("no_proposals", 0) == (not kept)


def test_the_real_proposals_are_mended(shared: Path) -> None:
    data = shared / "data"
    with (data / "activitynet_tsp" / "activitynet_v1-3_test_metadata.csv").open(newline="") as file:
        durations = {row["filename"][:-4]: float(row["video-duration"]) for row in csv.DictReader(file)}
    path = data / "proposals" / "tsn_dbg_esgn_testset_num5044.json"
    found, rows = admit(read_given(path, "score"), durations, path.name)
    assert len(found) == 5044
    assert reasons(rows) == {"clipped": 1499, "duplicate": 4412}
    assert sum(map(len, found.values())) == 8031 == 12_443 - 4412
    assert all(0 <= this.start < this.end <= durations[video] for video, these in found.items() for this in these)
    by_esgn, _ = admit(read_given(path, "esgn_score"), durations, path.name)
    assert by_esgn["v_ajSnAVhwWww"][0].score == pytest.approx(0.4404016137)


def test_a_table_says_what_json_says(tmp_path: Path) -> None:
    table, data = tmp_path / "p.csv", tmp_path / "p.json"
    table.write_text("\ufeffvideo,start,end,score,more\na,1,2.5,0.5,x\nv_b,nan,2,0.1,\n", encoding="utf-8")
    entries = {"a": [{"segment": [1, 2.5], "score": 0.5}], "v_b": [{"segment": [NAN, 2], "score": 0.1}]}
    data.write_text(json.dumps({"results": entries}))
    assert repr(list(read_given(table, "score"))) == repr(list(read_given(data, "score")))
    other = tmp_path / "tsp.csv"
    other.write_text("video-name,t-start,t-end\na,1,2.5\n")
    assert list(read_given(other, "score")) == [("a", Proposal(1.0, 2.5, 1.0))]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("p.json", "[]", "not proposals"),
        ("p.json", '{"results": {"a": [[1, 2]]}}', "video a: proposal 1: expected"),
        ("p.json", '{"results": {"a": [{"segment": [1]}]}}', "video a: proposal 1: expected"),
        ("p.json", '{"results": {"a": [{"segment": ["x", 2]}]}}', "video a: proposal 1: start, end or 'score' is not"),
        (
            "p.json",
            '{"results": {"a": [{"segment": [1, 2], "score": 1}, {"segment": [1, 2]}]}}',
            "video a: proposal 2 has no 'score', which 1 other proposals have",
        ),
        ("p.csv", "video,start\na,1\n", "has no column end .end or t-end or xmax., only video, start"),
        ("p.csv", "", "has no column video"),
        ("p.csv", "video,start,end\na,1,\n", "line 2: start, end or 'score' is not a number"),
        ("p.csv", "video,start,end\na,1\n", "line 2: start, end or 'score' is not a number"),
        ("p.csv", "video,start,end\n,1,2\n", "line 2 names no video"),
    ],
)
def test_what_is_malformed_is_told_with_its_place(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PipelineError, match=complaint):
        list(read_given(path, "score"))


@pytest.mark.parametrize("name", ["p.json", "p.csv"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="no such proposals"):
        list(read_given(tmp_path / name, "score"))

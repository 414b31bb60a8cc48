"""Proposals of a file are fitted to the videos of the corpus."""

import csv
import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.corpus import RejectedVideo
from pipeline.errors import PipelineError
from pipeline.localization.external_proposals import read_proposal_file, restrict_to_videos
from pipeline.localization.proposals import Proposal

NAN = math.nan


def reasons(rejects: list[RejectedVideo]) -> dict[str, int]:
    return dict(Counter(row.reason for row in rejects))


def fit_one(start: float, end: float, score: float = 0.5) -> tuple[list[Proposal], list[RejectedVideo]]:
    """Fit one proposal to a video of 10 s that has a valid proposal too."""
    valid = ("v_a", Proposal(1.0, 2.0, 0.9))
    proposals, rejects = restrict_to_videos([("v_a", Proposal(start, end, score)), valid], {"v_a": 10.0}, "p.json")
    return [proposal for proposal in proposals["v_a"] if proposal != valid[1]], rejects


@pytest.mark.parametrize(
    ("start", "end", "expected", "reason"),
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
def test_fit_to_videos_clips_or_drops_a_proposal_by_its_flaw(
    start: float, end: float, expected: tuple[float, float] | None, reason: str | None
) -> None:
    proposals, rejects = fit_one(start, end)
    assert [(proposal.start, proposal.end) for proposal in proposals] == ([expected] if expected else [])
    assert [row.reason for row in rejects] == ([reason] if reason else [])
    assert all((row.video, row.source) == ("v_a", "p.json") for row in rejects)


def test_fit_to_videos_drops_a_score_that_is_nan() -> None:
    proposals, rejects = fit_one(3.0, 4.0, NAN)
    assert not proposals
    assert rejects[0].reason == "not_a_number"
    assert rejects[0].detail == "3 to 4 s, score nan"


def test_fit_to_videos_keeps_the_best_of_duplicates_after_clipping() -> None:
    candidates = [Proposal(3.0, 11.0, 0.2), Proposal(3.0, 10.0, 0.7), Proposal(3.0, 10.0, 0.4)]
    proposals, rejects = restrict_to_videos([("v_a", proposal) for proposal in candidates], {"v_a": 10.0}, "p.json")
    assert proposals == {"v_a": [Proposal(3.0, 10.0, 0.7)]}
    assert reasons(rejects) == {"clipped": 1, "duplicate": 2}
    assert [row.detail[-3:] for row in rejects if row.reason == "duplicate"] == ["0.2", "0.4"]


def test_fit_to_videos_matches_ids_with_and_without_prefix() -> None:
    durations = {"v_a": 10.0, "b": None, "v_c": 10.0}
    proposal = Proposal(1.0, 200.0, 0.5)
    proposals, rejects = restrict_to_videos(
        [("a", proposal), ("b", proposal), ("z", proposal), ("z", proposal)], durations, "p.json"
    )
    assert proposals == {"b": [proposal], "v_a": [Proposal(1.0, 10.0, 0.5)]}
    assert [(row.video, row.reason, row.detail) for row in rejects] == [
        ("v_a", "clipped", "1 to 200 s, score 0.5"),
        ("z", "unknown_video", "2 proposals"),
        ("v_c", "no_proposals", ""),
        ("b", "unknown_duration", "1 proposals"),
    ]


anything = st.floats(-20, 30) | st.sampled_from([NAN, math.inf, 0.0, 10.0])


@given(st.lists(st.tuples(st.sampled_from(["a", "v_a", "z"]), anything, anything, anything), max_size=8))
def test_fit_to_videos_accounts_for_every_proposal(rows: list[tuple[str, float, float, float]]) -> None:
    proposals, rejects = restrict_to_videos(
        ((video, Proposal(*rest)) for video, *rest in rows), {"v_a": 10.0}, "p.json"
    )
    clipped = proposals.get("v_a", [])
    counts = reasons(rejects)
    unknown = sum(int(row.detail.split()[0]) for row in rejects if row.reason == "unknown_video")
    dropped = sum(counts.get(name, 0) for name in ("not_a_number", "reversed", "outside", "zero_length", "duplicate"))
    assert len(clipped) + dropped + unknown == len(rows)
    assert clipped == sorted(clipped)
    assert len({(proposal.start, proposal.end) for proposal in clipped}) == len(clipped)
    assert all(0 <= proposal.start < proposal.end <= 10 and math.isfinite(proposal.score) for proposal in clipped)
    assert counts.get("no_proposals", 0) == (not clipped)


def test_fit_to_videos_on_the_published_proposals(shared: Path) -> None:
    data = shared / "data"
    with (data / "activitynet_tsp" / "activitynet_v1-3_test_metadata.csv").open(newline="") as file:
        durations = {row["filename"][:-4]: float(row["video-duration"]) for row in csv.DictReader(file)}
    path = data / "proposals" / "tsn_dbg_esgn_testset_num5044.json"
    proposals, rejects = restrict_to_videos(read_proposal_file(path, "score"), durations, path.name)
    assert len(proposals) == 5044
    assert reasons(rejects) == {"clipped": 1499, "duplicate": 4412}
    assert sum(map(len, proposals.values())) == 8031 == 12_443 - 4412
    for video, of_video in proposals.items():
        assert all(0 <= proposal.start < proposal.end <= durations[video] for proposal in of_video)
    by_esgn, _ = restrict_to_videos(read_proposal_file(path, "esgn_score"), durations, path.name)
    assert by_esgn["v_ajSnAVhwWww"][0].score == pytest.approx(0.4404016137)


def test_read_proposal_file_gives_the_same_for_table_and_json(tmp_path: Path) -> None:
    table, data = tmp_path / "p.csv", tmp_path / "p.json"
    table.write_text("\ufeffvideo,start,end,score,more\na,1,2.5,0.5,x\nv_b,nan,2,0.1,\n", encoding="utf-8")
    entries = {"a": [{"segment": [1, 2.5], "score": 0.5}], "v_b": [{"segment": [NAN, 2], "score": 0.1}]}
    data.write_text(json.dumps({"results": entries}))
    assert repr(list(read_proposal_file(table, "score"))) == repr(list(read_proposal_file(data, "score")))
    other = tmp_path / "tsp.csv"
    other.write_text("video-name,t-start,t-end\na,1,2.5\n")
    assert list(read_proposal_file(other, "score")) == [("a", Proposal(1.0, 2.5, 1.0))]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.json", "[]", "not a proposal file"),
        ("p.json", '{"results": {"a": [[1, 2]]}}', "video a: proposal 1: expected"),
        ("p.json", '{"results": {"a": [{"segment": [1]}]}}', "video a: proposal 1: expected"),
        ("p.json", '{"results": {"a": [{"segment": ["x", 2]}]}}', "video a: proposal 1: start, end or 'score' is not"),
        (
            "p.json",
            '{"results": {"a": [{"segment": [1, 2], "score": 1}, {"segment": [1, 2]}]}}',
            "video a: proposal 2 has no 'score', but 1 other proposals have it",
        ),
        ("p.csv", "video,start\na,1\n", "has no column end .end or t-end or xmax., only video, start"),
        ("p.csv", "", "has no column video"),
        ("p.csv", "video,start,end\na,1,\n", "line 2: start, end or 'score' is not a number"),
        ("p.csv", "video,start,end\na,1\n", "line 2: start, end or 'score' is not a number"),
        ("p.csv", "video,start,end\n,1,2\n", "line 2 names no video"),
    ],
)
def test_read_proposal_file_names_the_place_of_an_error(tmp_path: Path, name: str, text: str, expected: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PipelineError, match=expected):
        list(read_proposal_file(path, "score"))


SHARES = """# 0
frames/v_a
100
1
1
3 0.1 0.5
2
3 0.9 0.9 0.1 0.45
0 0.0 0.0 0.6 1.0

# 1
b
50
1
0
0
"""
FRAMES = "# 0\na\n25\n4\n1\n3 10 50\n2\n3 0.9 0.9 10 45\n0 0 0 60 100\n# 1\nb\n50\n1\n0\n0\n"


@pytest.mark.parametrize("text", [SHARES, FRAMES])
def test_a_list_of_ssn_gives_seconds_and_no_scores(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    durations = {"v_a": 20.0, "v_b": 5.0}
    proposals, rejects = restrict_to_videos(read_proposal_file(path, "score", durations), durations, path.name)
    assert proposals == {"v_a": [Proposal(2.0, 9.0, 1.0), Proposal(12.0, 20.0, 1.0)]}
    assert [(row.video, row.reason) for row in rejects] == [("v_b", "no_proposals")]


def test_a_list_for_other_videos_is_a_reject_for_each_video(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(SHARES)
    durations = {"v_c": 20.0}
    proposals, rejects = restrict_to_videos(read_proposal_file(path, "score", durations), durations, path.name)
    assert not proposals
    assert [(row.video, row.reason) for row in rejects] == [("v_a", "unknown_video"), ("v_c", "no_proposals")]


def test_a_list_needs_the_durations_of_its_videos(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(SHARES)
    with pytest.raises(PipelineError, match=r"list\.txt.*video v_a"):
        list(read_proposal_file(path, "score", {"v_a": None}))
    with pytest.raises(PipelineError, match=r"list\.txt.*seconds"):
        list(read_proposal_file(path, "score"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("a\n100\n1\n0\n0\n", 1),
        ("# 0\na\n100\nmany\n0\n0\n", 4),
        ("# 0\na\n100\n1\n1\n3 10\n0\n", 6),
        ("# 0\na\n100\n1\n0\n2\n3 0.9 0.9 10 45\n", 7),
        ("# 0\na\n100\n1\n0\n0\n3 0.9 0.9 10 45\n", 7),
        ("# 0\na\n0\n1\n0\n0\n", 3),
        ("# 0\na\ninf\n1\n0\n0\n", 4),
    ],
)
def test_a_damaged_list_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(PipelineError, match=rf"list\.txt: line {line}\b"):
        list(read_proposal_file(path, "score", {"v_a": 20.0}))


@pytest.mark.parametrize("name", ["p.json", "p.csv", "p.txt"])
def test_read_proposal_file_rejects_a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="no such proposals"):
        list(read_proposal_file(tmp_path / name, "score", {}))

"""The ladder: what the result holds, whose captions a rung has, and how the demo's rungs follow one another."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.evaluation_files import TRUTH, VAGUE, write_captions, write_corpus

from pipeline.climb_ladder import main
from pipeline.comparison.scored import score
from pipeline.config.climb_ladder import ClimbLadder
from pipeline.config.evaluate import Evaluate
from pipeline.config.load import CONFIG, load
from pipeline.errors import PipelineError
from pipeline.report.ladder_plot import draw_ladder

FOLDER = Path(__file__).resolve().parents[1] / CONFIG
LOW = {"name": "low", "members": [{"captioner": "c", "before_scst": True}], "paper": {"gt": 12.0}}
MIDDLE = {"name": "middle", "members": [{"captioner": "c"}], "paper": {"gt": 15.5, "learned": 11.0}}
HIGH = {"name": "high", "members": [{"captioner": "c"}, {"captioner": "c", "seed": 1}], "paper": {"learned": 11.5}}
SCORES = {"metrics": ["METEOR", "Bleu", "SODA_c"], "bootstrap": 50}
LADDER: dict[str, Any] = {"rungs": [LOW, MIDDLE, HIGH], "seeds": [1, 4], "scores": SCORES}


def write(folder: Path, *corpora: str) -> list[str]:
    """Corpora on which the lowest rung's captions are vague and the others' right; gives the command's words."""
    for name in corpora:
        results = folder / name
        write_corpus(results / "corpus", [(video, "test", True) for video in TRUTH], {"test_1": TRUTH})
        for proposals in ("gt", "learned"):
            for label, said in (("c-0-xe", VAGUE), ("c-0", TRUTH), ("high", TRUTH)):
                write_captions(results / "captions" / f"{label}-test-{proposals}.json", said)
        for stage, took in (("train_captioner", 12.34), ("finetune_scst", 7)):
            noted = results / "benchmarks" / stage / "c-0.jsonl"
            noted.parent.mkdir(parents=True)
            noted.write_text(json.dumps({"s": took}) + "\n")
    return ["--dataset", str(folder / "toy"), "--output", str(folder / "toy_ladder.json")]


def test_the_result_tells_rungs_steps_and_where_they_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write(tmp_path, "toy_s1", "toy_s4")
    assert main([*words, "--config", json.dumps(LADDER)]) == 0
    found = json.loads((tmp_path / "toy_ladder.json").read_text())
    low, middle, high = found["rungs"]
    assert (low["members"], high["members"]) == (["c-0-xe"], ["c-0", "c-1"])
    assert low["paper"] == {"gt": 12.0, "learned": None}
    assert low["gt"].keys() == {"METEOR", "Bleu_4", "SODA_c"}
    assert middle["gt"]["METEOR"]["mean"] > 0.9 > low["gt"]["METEOR"]["mean"] > 0.1
    assert middle["learned"]["SODA_c"]["mean"] > 0.9
    step, nothing = found["differences"]
    assert (step["rung"], step["than"]) == ("middle", "low")
    assert step["gt"]["METEOR"]["mean"] == pytest.approx(middle["gt"]["METEOR"]["mean"] - low["gt"]["METEOR"]["mean"])
    least, most = step["gt"]["METEOR"]["interval"]
    assert 0 < least <= step["gt"]["METEOR"]["mean"] <= most
    assert nothing["learned"]["Bleu_4"] == {"mean": 0.0, "by_seed": [0.0, 0.0], "interval": [0.0, 0.0]}
    assert step["paper"] == {"gt": 3.5, "learned": None}
    assert nothing["paper"] == {"gt": None, "learned": 0.5}
    made = found["made"]["toy_s4"]
    assert made["low"]["seconds"] == {"c-0-xe": {"train_captioner": 12.3}}
    assert made["high"]["seconds"]["c-0"] == {"train_captioner": 12.3, "finetune_scst": 7.0}
    assert made["high"]["seconds"]["c-1"] == {"train_captioner": None, "finetune_scst": None}
    assert made["low"]["captions_sha256"]["gt"] != made["middle"]["captions_sha256"]["gt"]
    assert found["settings"] == ClimbLadder.parse(LADDER, "").model_dump(mode="json")
    told = capsys.readouterr().out
    assert "| low |" in told
    assert "| middle - low |" in told
    assert "| +3.50 |" in told
    picture = (tmp_path / "toy_ladder.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    draw_ladder(found, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == picture


def test_without_seeds_the_dataset_itself_is_looked_at() -> None:
    assert ClimbLadder.parse(LADDER | {"seeds": []}, "").datasets("toy") == ["toy"]
    assert ClimbLadder.parse(LADDER, "").datasets("toy") == ["toy_s1", "toy_s4"]


def test_a_rung_whose_captions_are_missing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = write(tmp_path, "toy_s1", "toy_s4")
    (tmp_path / "toy_s1" / "captions" / "high-test-learned.json").unlink()
    assert main([*words, "--config", json.dumps(LADDER)]) == 2
    assert "toy_s1/captions/high-test-learned.json: no such captions" in capsys.readouterr().err
    assert not (tmp_path / "toy_ladder.json").exists()


def test_a_video_without_captions_scores_nothing_in_any_metric(tmp_path: Path) -> None:
    write(tmp_path, "toy")
    path = tmp_path / "toy" / "captions" / "c-0-test-gt.json"
    write_captions(path, {video: events for video, events in TRUTH.items() if video != "v_2"})
    scored = score(tmp_path / "toy", {"some": path}, "test", Evaluate.parse(SCORES, ""))
    assert scored.videos == ("v_0", "v_1", "v_2", "v_3")
    for metric in ("METEOR", "Bleu_4", "SODA_c"):
        values = scored.values[metric]["some"]
        assert np.flatnonzero(values == 0).tolist() == [2], metric


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rungs": [LOW, LOW]}, "rungs names one twice"),
        ({"seeds": [1, 1]}, "seeds names one twice"),
        ({"rungs": []}, "rungs"),
        ({"rungs": [LOW | {"name": "Low-1"}]}, "small letters, digits and _"),
        ({"rungs": [LOW | {"members": []}]}, "ensemble is the rung without members"),
        ({"rungs": [LOW | {"name": "ensemble"}]}, "ensemble is the rung without members"),
        ({"rungs": [LOW | {"members": [{"captioner": "c"}, {"captioner": "c"}]}]}, "with the same seed twice"),
    ],
)
def test_a_ladder_that_makes_no_sense_is_told_before_it_begins(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        ClimbLadder.parse(LADDER | changed, "")


def test_members_of_rungs_are_captioners_that_there_are() -> None:
    with pytest.raises(PipelineError, match=r"climb_ladder.rungs \(low\) names 'c'; there are"):
        load("demo", {"climb_ladder": {"rungs": [LOW]}}, FOLDER)


def test_the_demos_rungs_follow_table_2_each_with_one_thing_more() -> None:
    config = load("demo", {}, FOLDER)
    single, combination, enlarged, scst, five = config.climb_ladder.rungs
    papers = [(rung.paper.gt, rung.paper.learned) for rung in config.climb_ladder.rungs]
    assert papers == [(11.70, None), (12.28, 8.16), (12.33, 8.03), (15.89, 11.42), (16.19, 11.50)]

    def captioner(rung: Any) -> dict[str, Any]:
        (member,) = rung.members
        return config.train_captioner[member.captioner].model_dump()

    def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
        return {key for key in one if one[key] != other[key]}

    assert changed(captioner(single), captioner(combination)) == {"features", "missing"}
    assert set(captioner(single)["features"]) < set(captioner(combination)["features"])
    assert changed(captioner(combination), captioner(enlarged)) == {"splits"}
    # The very captioner of the rung before, finetuned; then it and four others.
    assert scst.members[0] == enlarged.members[0].model_copy(update={"before_scst": False})
    assert scst.members[0] == five.members[0]
    assert len(five.members) == 5
    features = [config.train_captioner[member.captioner].features for member in five.members]
    assert len(set(map(tuple, features))) >= 3, "feature combinations"
    assert len({member.seed for member in five.members}) >= 2, "and seeds"
    others = [config.train_captioner[member.captioner].model_dump() for member in five.members]
    assert all(changed(others[0], other) <= {"features"} for other in others)
    assert not any(member.before_scst for member in five.members)
    seeds = {config.make_demo.seed, *(encoder.seed for encoder in config.pretrain_encoder.values())}
    assert not seeds & set(config.climb_ladder.seeds), "settings were settled on these"

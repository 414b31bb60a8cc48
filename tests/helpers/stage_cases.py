"""The stages of a finished road as cases: command lines that made its files, and what each leaves."""

import json
from pathlib import Path

from helpers.kill_runner import Case

DEMO = "results/demo"
STATE = f"{DEMO}/state"
XE = f"{DEMO}/captioners/sa_tsp/0/xe/manifest.json"
SCST = f"{DEMO}/captioners/sa_tsp/0/scst/manifest.json"

KILLS = {
    "make_demo": 2,
    "build_corpus": 3,
    "reencode": 3,
    "mine_concepts": 3,
    "pool_features": 3,
    "pretrain_encoder": 3,
    "extract_features": 3,
    "propose_events": 3,
    "train_captioner": 3,
    "finetune_scst": 3,
    "generate_captions": 3,
    "select_captions": 3,
    "evaluate": 2,
    "write_submission": 3,
    "write_report": 2,
    "probe_encoder": 2,
    "compare_encoders": 2,
    "climb_ladder": 2,
}
"""How often each stage is killed: more where it goes on where it was."""


def made(road: Path, stage: str, output: str, *others: str, folder: bool = True, kills: int | None = None) -> Case:
    """The case of a stage that the road went through.

    Args:
        road: folder of the road.
        stage: name.
        output: that the rule declares.
        others: that the stage leaves besides what is beside its output: outputs, training state.
        folder: whether the folder of the output is all the stage's own.
        kills: instead of the table's.
    """
    record = Path(output).with_suffix(".provenance.json")
    words = json.loads((road / record).read_text())["command"][1:]
    own = [str(Path(output).parent)] if folder else [output, str(record)]
    for other in others:
        own += [other] + ([str(Path(other).with_suffix(".provenance.json"))] if other.endswith(".json") else [])
    declared = [output, *(other for other in others if other.endswith(".json"))]
    return Case(f"pipeline.{stage}", words, declared, own, KILLS[stage] if kills is None else kills, 1)


def cases(road: Path) -> list[Case]:
    """One for each stage, two for those that do two kinds of work."""
    captions = f"{DEMO}/captions"
    settings = json.dumps({"arms": [{"feature": "sa_tsp", "captioner": "sa_tsp"}], "floor": "sa_tsp", "seeds": [5, 6]})
    demo = ["--config", json.dumps({"train_videos": 2, "val_videos": 3, "test_videos": 0, "broken_videos": 1})]
    demo += ["--output", "results/small/manifest.json"]
    probe = ["--feature", "sa_tsp", "--corpus", f"{DEMO}/corpus/manifest.json", "--features", f"{DEMO}/features"]
    probe += ["--concepts", f"{DEMO}/concepts.json", "--output", f"{DEMO}/probes/sa_tsp.json"]
    rungs = json.dumps({"rungs": [{"name": "single", "members": [{"captioner": "sa_tsp"}]}, {"name": "ensemble"}]})
    climb = ["--config", rungs, "--dataset", DEMO, "--output", "results/climbed/ladder.json"]
    compare = ["--config", settings, "--dataset", DEMO, "--output", "results/compared/pretraining.json"]
    return [
        Case("pipeline.make_demo", demo, [demo[-1]], ["results/small"], KILLS["make_demo"], 1),
        made(road, "build_corpus", f"{DEMO}/corpus/manifest.json"),
        made(road, "reencode", f"{DEMO}/video/0000/manifest.json"),
        made(
            road, "mine_concepts", f"{DEMO}/concepts.json", f"{DEMO}/vocabulary.json", f"{DEMO}/idf.json", folder=False
        ),
        made(road, "pool_features", f"{DEMO}/globals/initial/manifest.json"),
        made(road, "pretrain_encoder", f"{DEMO}/encoders/sa_tsp/manifest.json", f"{STATE}/pretrain_encoder/sa_tsp"),
        made(road, "extract_features", f"{DEMO}/features/sa_tsp/0000/manifest.json"),
        made(
            road,
            "propose_events",
            f"{DEMO}/proposals/learned.json",
            f"{DEMO}/proposals/learned.metrics.jsonl",
            f"{STATE}/propose_events/learned",
            folder=False,
        ),
        made(road, "propose_events", f"{DEMO}/proposals/gt.json", folder=False, kills=2),
        made(
            road, "train_captioner", f"{DEMO}/captioners/sa_tsp/0/xe/manifest.json", f"{STATE}/train_captioner/sa_tsp-0"
        ),
        made(road, "finetune_scst", SCST, f"{STATE}/finetune_scst/sa_tsp-0"),
        made(road, "generate_captions", f"{captions}/sa_tsp-0-test-gt.json", folder=False),
        made(road, "select_captions", f"{captions}/ensemble-test-gt.json", folder=False),
        made(road, "evaluate", "results/demo_test_meteor.json", folder=False),
        made(road, "write_submission", "results/demo_submission.json", folder=False),
        made(road, "write_report", f"{DEMO}/report/index.html"),
        Case("pipeline.probe_encoder", probe, [probe[-1]], [f"{DEMO}/probes"], KILLS["probe_encoder"], 1),
        Case("pipeline.compare_encoders", compare, [compare[-1]], ["results/compared"], KILLS["compare_encoders"], 1),
        Case("pipeline.climb_ladder", climb, [climb[-1]], ["results/climbed"], KILLS["climb_ladder"], 1),
    ]


def case_of(road: Path, stage: str) -> Case:
    """The first case of a stage."""
    return next(case for case in cases(road) if case.stage == f"pipeline.{stage}")

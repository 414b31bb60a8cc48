"""Stages of a finished run as cases: the command line that made an output, and the files that the stage leaves.

The cases are found in the provenance records of the run, so a new stage that the run includes needs no entry here.
"""

import json
from pathlib import Path

from helpers.kill_runner import Case
from pipeline.provenance.record import record_path

DEMO = "results/demo"
STATE = f"{DEMO}/state"
XE = f"{DEMO}/captioners/sa_tsp/0/xe/manifest.json"
SCST = f"{DEMO}/captioners/sa_tsp/0/scst/manifest.json"

EXAMPLES = {
    "pretrain_encoder": f"{DEMO}/encoders/sa_tsp/manifest.json",
    "extract_features": f"{DEMO}/features/sa_tsp/0000/manifest.json",
    "propose_events": f"{DEMO}/proposals/learned.json",
    "generate_captions": f"{DEMO}/captions/sa_tsp-0-test-gt.json",
    "select_captions": f"{DEMO}/captions/ensemble-test-gt.json",
}
"""The output of a stage that its case makes, where it is not the first by name."""

OWN_FOLDER = ("manifest.json", "index.html")
"""Names of outputs whose folder holds only files of the stage."""

KILLS = {
    "make_demo": 2,
    "propose_events": 2,
    "evaluate": 2,
    "write_report": 2,
    "probe_encoder": 2,
    "compare_systems": 2,
}
"""How often a stage is killed, where it is not the default: fewer if it cannot resume."""
DEFAULT_KILLS = 3


def outputs_by_stage(run: Path) -> dict[str, list[str]]:
    """Return the outputs with a provenance record by stage, relative to the folder of the run, sorted."""
    outputs: dict[str, list[str]] = {}
    for file in sorted((run / DEMO).parent.rglob("*.provenance.json")):
        record = json.loads(file.read_text())
        paths = {word for word in record["command"] if word.startswith("results/")}
        for path in sorted(path for path in paths if run / record_path(Path(path)) == file):
            outputs.setdefault(record["stage"], []).append(path)
    return outputs


def make_case(run: Path, stage: str, output: str) -> Case:
    """Return the case that makes one output of a finished run again.

    Args:
        run: folder of the run.
        stage: the stage that made the output.
        output: a declared output.
    """
    words = json.loads((run / record_path(Path(output))).read_text())["command"][1:]
    outputs = outputs_by_stage(run)[stage]
    declared = [output, *(word for word in words if word in outputs and word != output)]
    if Path(output).name in OWN_FOLDER:
        leaves = [str(Path(output).parent)]
    else:
        leaves = [path for name in declared for path in (name, str(record_path(Path(name))))]
    if "--state" in words:
        leaves.append(words[words.index("--state") + 1])
    return Case(f"pipeline.{stage}", words, declared, leaves, KILLS.get(stage, DEFAULT_KILLS), 1)


def small_demo() -> Case:
    """Return a case of `make_demo` with fewer videos than the run has."""
    settings = {"train_videos": 2, "val_videos": 3, "test_videos": 0, "broken_videos": 1}
    words = ["--config", json.dumps(settings), "--output", "results/small/manifest.json"]
    return Case("pipeline.make_demo", words, [words[-1]], ["results/small"], KILLS["make_demo"], 1)


def small_comparison() -> Case:
    """Return a case of `compare_systems`, whose results are not part of the run."""
    settings = {"systems": [{"name": "single", "members": [{"captioner": "sa_tsp"}]}, {"name": "ensemble"}]}
    words = ["--config", json.dumps(settings), "--dataset", DEMO, "--output", "results/compared/comparison.json"]
    kills = KILLS["compare_systems"]
    return Case("pipeline.compare_systems", words, [words[-1]], ["results/compared"], kills, 1)


def cases(run: Path) -> list[Case]:
    """Return the cases of a finished run, at least one for each stage."""
    outputs = outputs_by_stage(run)
    derived = [
        make_case(run, stage, EXAMPLES.get(stage, min(paths)))
        for stage, paths in outputs.items()
        if stage not in ("make_demo", "compare_systems")
    ]
    ground_truth = make_case(run, "propose_events", f"{DEMO}/proposals/gt.json")
    return [small_demo(), *derived, ground_truth, small_comparison()]


def case_of(run: Path, stage: str) -> Case:
    """Return the first case of a stage."""
    return next(case for case in cases(run) if case.stage == f"pipeline.{stage}")

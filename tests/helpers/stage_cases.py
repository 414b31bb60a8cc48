"""Stages of a finished run as cases: the command line that made an output, and the files that the stage leaves.

The cases are found in the provenance records of the run, so a new stage that the run includes needs no entry here.
"""

import json
from collections.abc import Callable
from pathlib import Path

from helpers.kill_runner import Case, Result
from pipeline.config.load import stages
from pipeline.provenance.computation import computation_path, kept_output_path
from pipeline.provenance.record import record_path

DEMO = "results/demo"
STATE = f"{DEMO}/state"

EXAMPLES = {
    "pretrain_encoder": f"{DEMO}/encoders/sa_tsp/manifest.json",
    "extract_features": f"{DEMO}/features/sa_tsp/0000/manifest.json",
    "propose_events": f"{DEMO}/proposals/learned.json",
    "generate_captions": f"{DEMO}/captions/sa_tsp-0-test-gt.json",
    "select_captions": f"{DEMO}/captions/ensemble-test-gt.json",
}
"""The output of a stage that its case makes, where it is not the first by name."""

CLIP_CAPTIONS = "results/clip_captions.json"
"""One caption for each video of the run, see `write_clip_captions`."""

OWN_FOLDER = ("manifest.json", "index.html")
"""Names of outputs whose folder holds only files of the stage."""

COMMIT_KILLS = 4
"""How often a stage is killed around its commits in the campaign."""
QUICK_KILLS = 2
"""How often it is killed outside of the campaign: at the first commit and at the last."""
RANDOM_KILLS = 10
"""How often a stage is killed at random moments in the campaign: more than 300 kills in all."""


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
        paths = [file for path in map(Path, declared) for file in (path, record_path(path), kept_output_path(path))]
        leaves = [str(path) for path in (*paths, computation_path(Path(output)))]
    if "--state" in words:
        leaves.append(words[words.index("--state") + 1])
    return Case(f"pipeline.{stage}", words, declared, leaves, 0, 1)


def write_clip_captions(run: Path) -> None:
    """Write the first caption of each video of a finished run, because `evaluate_clips` scores one of each."""
    captions = json.loads((run / DEMO / "captions" / "ensemble-test-gt.json").read_text())
    captions["results"] = {video: of_video[:1] for video, of_video in captions["results"].items()}
    (run / CLIP_CAPTIONS).write_text(json.dumps(captions))


def small_demo() -> Case:
    """Return a case of `make_demo` with fewer videos than the run has."""
    settings = {"train_videos": 2, "val_videos": 3, "test_videos": 0, "broken_videos": 1}
    words = ["--config", json.dumps(settings), "--output", "results/small/manifest.json"]
    return Case("pipeline.make_demo", words, [words[-1]], ["results/small"], 0, 1)


def small_comparison() -> Case:
    """Return a case of `compare_systems`, whose results are not part of the run."""
    settings = {"systems": [{"name": "single", "members": [{"captioner": "sa_tsp"}]}, {"name": "ensemble"}]}
    words = ["--config", json.dumps(settings), "--dataset", DEMO, "--output", "results/compared/comparison.json"]
    return Case("pipeline.compare_systems", words, [words[-1]], ["results/compared"], 0, 1)


def small_study() -> Case:
    """Return a case of `compare_localization`, whose results are not part of the run."""
    system = {"name": "sa_tsp", "detections": {"gtad": "gtad"}, "proposals": {"gtad": "gtad"}, "feature": "sa_tsp"}
    words = ["--config", json.dumps({"systems": [system], "bootstrap": 20}), "--dataset", DEMO]
    output = "results/studied/localization.json"
    return Case("pipeline.compare_localization", [*words, "--output", output], [output], ["results/studied"], 0, 1)


def small_clip_scores() -> Case:
    """Return a case of `evaluate_clips` on the run's videos, with the captions of `write_clip_captions`."""
    words = ["--corpus", f"{DEMO}/corpus/manifest.json", "--videos", f"{DEMO}/video"]
    words += ["--captions", CLIP_CAPTIONS, "--vocabulary", f"{DEMO}/vocabulary.json"]
    words = ["--config", "{}", *words, "--output", "results/scored_clips/scores.json"]
    return Case("pipeline.evaluate_clips", words, [words[-1]], ["results/scored_clips"], 0, 1)


def small_clip_analysis() -> Case:
    """Return a case of `analyze_clips` on the run's videos, each of which counts as one clip."""
    words = ["--corpus", f"{DEMO}/corpus/manifest.json", "--features", f"{DEMO}/features"]
    words += ["--captioner", f"{DEMO}/captioners/sa_tsp/0/xe/manifest.json"]
    outputs = [f"results/analyzed_clips/analysis.{suffix}" for suffix in ("json", "png")]
    words = ["--config", "{}", *words, "--output", outputs[0]]
    return Case("pipeline.analyze_clips", words, outputs, ["results/analyzed_clips"], 0, 1)


def small_tables() -> Case:
    """Return a case of `compare_results`, whose results are not part of the run."""
    columns = [{"title": "METEOR", "path": "METEOR/gt/mean", "scale": 100}]
    table = {"title": "Captions", "file": "results/{dataset}_test_meteor.json", "columns": columns}
    study = {"title": "Scores", "tables": [{**table, "rows": [{"name": "ensemble"}]}]}
    words = ["--config", json.dumps(study), "--dataset", DEMO, "--output", "results/tabulated/scores.json"]
    return Case("pipeline.compare_results", words, [words[-1]], ["results/tabulated"], 0, 1)


SMALL_CASES: dict[str, Callable[[], Case]] = {
    "make_demo": small_demo,
    "compare_systems": small_comparison,
    "compare_localization": small_study,
    "compare_results": small_tables,
    "evaluate_clips": small_clip_scores,
    "analyze_clips": small_clip_analysis,
}
"""Cases whose outputs are not part of the run."""

CASES = (*stages(), "propose_events-gt")
"""Names of the cases: the stages, and a second one of `propose_events`, which copies the annotations."""


QUICK_CASES = (
    "mine_concepts",
    "extract_features",
    "train_proposer",
    "generate_captions",
)
"""Cases that take a second, one for each way in which stages write: whole files, tables, shards, checkpoints, JSON."""

THREADED = ("pretrain_encoder", "train_recognizer", "extract_features", "finetune_scst")
"""Stages whose sums over several threads come in another order under snakemake."""


def case_of(run: Path, name: str) -> Case:
    """Return a case of a finished run.

    Args:
        run: folder of the run.
        name: one of `CASES`.
    """
    if name in SMALL_CASES:
        return SMALL_CASES[name]()
    if name == "propose_events-gt":
        return make_case(run, "propose_events", f"{DEMO}/proposals/gt.json")
    return make_case(run, name, EXAMPLES.get(name, min(outputs_by_stage(run)[name])))


def check_stage_alone(name: str, result: Result) -> None:
    """Check that a stage that runs alone makes what snakemake made.

    Args:
        name: one of `CASES`.
        result: the result of its kills.
    """
    if name not in (*THREADED, *SMALL_CASES):
        assert result["before"] == result["ends"][0][1]

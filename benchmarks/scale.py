"""Measure time and memory of the stages that no GPU limits, and of snakemake's plan, at ActivityNet's size and above.

The captions are the real ones. At N times the size, each video occurs N times under different ids, so the vocabulary
does not grow. Every stage is the real command in a process of its own. Processor time counts: other work on the machine
changes it less than the time on the clock.

    python benchmarks/scale.py --captions ../shared/data/activitynet_captions --times 1 3 10
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
CAPTION_FILES = ("train", "val_1", "val_2")
NUM_VIDEOS = 20_000
"""Videos with features, about as many as ActivityNet has."""
NUM_TEST_VIDEOS = 4_900
"""Videos of ActivityNet's official test set, which has no annotations."""
ROWS_PER_VIDEO = 80
"""Feature rows of a video: 1.6 million in all."""
NUM_ACTIONS = 200
NUM_SHARDS = 64
NUM_MEMBERS = 5
"""Members of the ensemble."""


class Usage(NamedTuple):
    """What a process used.

    Attributes:
        processor_s: time of all processors together [s].
        clock_s: time on the clock [s].
        peak_mb: peak memory [MB].
    """

    processor_s: float
    clock_s: float
    peak_mb: float


def measure(words: list[str], folder: Path) -> Usage:
    """Run a command to its end, and measure what it uses.

    Raises:
        RuntimeError: the command failed.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("w+") as log:
        start = os.times().elapsed
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        clock_s = os.times().elapsed - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)}\n{log.read()}")
    # Child processes count only if the command waits for them; snakemake's dry run starts none.
    return Usage(usage.ru_utime + usage.ru_stime, clock_s, usage.ru_maxrss / 1024)


def repeat_videos(captions: dict[str, Any], times: int) -> dict[str, Any]:
    """Return the captions of `times` copies of each video; the ids keep their length."""
    return {f"{video[:-2]}{copy:02d}": entry for copy in range(times) for video, entry in captions.items()}


def keep_one_per_prefix(captions: dict[str, Any]) -> dict[str, Any]:
    """Keep one of the videos whose ids differ only in the two characters that `repeat_videos` overwrites."""
    by_prefix = {video[:-2]: video for video in sorted(captions)}
    return {video: captions[video] for video in by_prefix.values()}


def order_start_and_end(captions: dict[str, Any]) -> dict[str, Any]:
    """Return the captions with start and end of each event in order."""
    return {
        video: entry | {"timestamps": [sorted(segment) for segment in entry["timestamps"]]}
        for video, entry in captions.items()
    }


def write_inputs(folder: Path, captions_folder: Path, times: int) -> None:
    """Write annotations, videos (empty files), proposals and the captions of an ensemble."""
    rng = random.Random(0)
    captions = {
        name: repeat_videos(
            keep_one_per_prefix(order_start_and_end(json.loads((captions_folder / f"{name}.json").read_text()))), times
        )
        for name in CAPTION_FILES
    }
    for name in CAPTION_FILES:
        (folder / f"{name}.json").write_text(json.dumps(captions[name]))
    database = draw_actions(captions, times, rng)
    (folder / "actions.json").write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    (folder / "videos").mkdir()
    for video in database:
        (folder / "videos" / f"v_{video}.mp4").touch()
    proposals = {
        video: [{"segment": segment, "score": rng.random()} for segment in entry["timestamps"]]
        for video, entry in {**captions["train"], **captions["val_1"]}.items()
    }
    (folder / "proposals.json").write_text(json.dumps({"version": "1", "results": proposals, "external_data": {}}))
    sentences = [sentence for entry in captions["val_2"].values() for sentence in entry["sentences"]]
    for member in range(NUM_MEMBERS):
        results = {
            video: [{"sentence": rng.choice(sentences), "timestamp": segment} for segment in entry["timestamps"]]
            for video, entry in captions["val_1"].items()
        }
        submission = {"version": "1", "results": results, "external_data": {"used": False, "details": ""}}
        (folder / f"member{member}.json").write_text(json.dumps(submission))


def draw_actions(captions: dict[str, dict[str, Any]], times: int, rng: random.Random) -> dict[str, Any]:
    """Return the videos of ActivityNet's action annotations, with random labels on the first two events of each."""
    database: dict[str, Any] = {}
    for subset, names in (("training", ("train",)), ("validation", ("val_1", "val_2"))):
        videos = {video: entry for name in names for video, entry in captions[name].items()}
        for video, entry in sorted(videos.items()):
            actions = [
                {"segment": segment, "label": f"action {rng.randrange(NUM_ACTIONS)}"}
                for segment in entry["timestamps"][:2]
            ]
            actions = [action for action in actions if action["segment"][0] < action["segment"][1]]
            database[video[2:]] = {"subset": subset, "duration": entry["duration"], "annotations": actions}
    for number in range(NUM_TEST_VIDEOS * times):
        database[f"test{number:07d}"] = {"subset": "testing", "duration": 60.0, "annotations": []}
    return database


def write_store(folder: Path, videos: list[str]) -> None:
    """Write features of few channels: only the index grows with the corpus."""
    from pipeline.datasets.splits import shard_of
    from pipeline.features.shard import write_shard
    from pipeline.features.time_grid import ClipGrid

    grid = ClipGrid(fps=15.0, frames=16, stride=16)
    rows = np.ones((ROWS_PER_VIDEO, 4), dtype=np.float32)
    videos_by_shard: dict[int, list[str]] = {}
    for video in videos:
        videos_by_shard.setdefault(shard_of(video, NUM_SHARDS), []).append(video)
    for shard, videos_of_shard in sorted(videos_by_shard.items()):
        items = ((video, grid.duration(ROWS_PER_VIDEO), rows) for video in sorted(videos_of_shard))
        write_shard(folder / "features" / f"{shard:04d}" / "manifest.json", items, dim=4, grid=grid, metadata={})


def look_up(folder: Path) -> None:
    """Open all shards of a feature and look up the number of rows of every video, as stages do."""
    from pipeline.features.store import FeatureStore

    store = FeatureStore(folder, shards=NUM_SHARDS)
    rows = sum(store.num_rows(video) for video in store)
    print(f"{len(store)} videos, {rows} rows")


def stage_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each stage and its command, which runs in the folder of the inputs, in the order of the data flow."""
    python = [sys.executable, "-m"]
    corpus = {
        "actions": ["actions.json"],
        "captions_train": "train.json",
        "captions_val": ["val_1.json", "val_2.json"],
        "videos": "videos",
        "reversed_segments": "swap",
        "uncaptioned": "keep",
    }
    manifest = "corpus/manifest.json"
    yield "build_corpus", [*python, "pipeline.build_corpus", "--config", json.dumps(corpus), "--output", manifest]
    concepts, idf = ["--concepts", "concepts.json"], ["--idf", "idf.json"]
    lexicon = ["--config", '{"tagger": "lexicon"}', "--corpus", manifest]
    vocabulary = ["--vocabulary", "vocabulary.json"]
    yield "mine_concepts", [*python, "pipeline.mine_concepts", *lexicon, *concepts, *vocabulary, *idf]
    proposals = ["--config", '{"kind": "file", "path": "proposals.json"}', "--corpus", manifest]
    yield "propose_events (file)", [*python, "pipeline.propose_events", *proposals, "--output", "p.json"]
    yield "feature index", [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--look-up", "features"]
    members = json.dumps({"members": [{"captioner": "a", "seed": seed} for seed in range(NUM_MEMBERS)]})
    captions = ["--captions", *(f"member{member}.json" for member in range(NUM_MEMBERS)), "--output", "ensemble.json"]
    yield "select_captions", [*python, "pipeline.select_captions", "--config", members, *concepts, *idf, *captions]
    scores = ["--predictions", "ensemble.json", "--references", "val_1.json", "val_2.json", "--output", "scores.json"]
    yield "evaluate", [*python, "pipeline.evaluate", "captions", *scores]


def plan_commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield dry runs of the paper's pipeline with several numbers of shards; weights are empty files."""
    from pipeline.config.load import CONFIG, load_config

    for name in ("Snakefile", "workflow", "profiles", "config"):
        (folder / name).symlink_to(ROOT / name)
    for feature in load_config("anet", {}, ROOT / CONFIG).extract_features.values():
        weights = folder / getattr(feature.root, "weights", "weights/none")
        weights.parent.mkdir(exist_ok=True)
        weights.touch()
    files = {"actions": ["actions.json"], "captions_train": "train.json", "captions_val": ["val_1.json", "val_2.json"]}
    for shards in (64, 256):
        overlay = {
            "build_corpus": {**files, "videos": "videos", "shards": shards},
            "pretrain_encoder": {
                name: {"initial_weights": None, "freeze_stem": False} for name in ("initial", "sa_tsp")
            },
        }
        (folder / f"shards{shards}.yaml").write_text(yaml.safe_dump(overlay))
        words = ["snakemake", "-n", "results/anet_test_meteor.json", "-q", "rules"]
        yield f"snakemake -n, {shards} shards", [sys.executable, "-m", *words, "--configfile", f"shards{shards}.yaml"]


def main() -> None:
    """Measure every stage at every size and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--captions", type=Path, help="folder of train.json, val_1.json and val_2.json")
    arguments.add_argument("--times", type=int, nargs="+", default=[1, 3], help="sizes, in multiples of ActivityNet's")
    arguments.add_argument("--only", nargs="+", help="prefixes of the stages to run; they must not need other stages")
    # The script runs itself with this option, in a process of its own.
    arguments.add_argument("--look-up", type=Path, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.look_up:
        look_up(args.look_up)
        return
    print(
        "| stage | times ActivityNet | processor, s | clock, s | peak memory, MB |\n|---|---|---|---|---|", flush=True
    )
    for times in args.times:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_inputs(folder, args.captions, times)
            write_store(folder, [f"v_{number:011d}" for number in range(NUM_VIDEOS * times)])
            for stage, words in [*stage_commands(), *plan_commands(folder)]:
                if args.only and not stage.startswith(tuple(args.only)):
                    continue
                usage = measure(words, folder)
                values = f"{usage.processor_s:.1f} | {usage.clock_s:.0f} | {usage.peak_mb:.0f}"
                print(f"| {stage} | {times} | {values} |", flush=True)


if __name__ == "__main__":
    main()

"""Time and memory of the stages that no GPU limits, and of snakemake's plan, at ActivityNet's real size and above.

Captions are the real ones; of N times as many, each video is there N times under other ids (so the vocabulary does not
grow). Every stage is the real command in a process of its own. What counts is processor time, since machines are busy.

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
TEST_VIDEOS = 4_900
"""Of ActivityNet's official test set, which has no annotations."""
CLIPS = 80
"""Rows of a video's features: 1.6 million in all."""
SHARDS = 64
MEMBERS = 5


class Taken(NamedTuple):
    """What a process took: seconds of processors, seconds on the clock, peak memory in MB."""

    processor: float
    clock: float
    megabytes: float


def measure(words: list[str], folder: Path) -> Taken:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "log.txt").open("w+") as log:
        started = os.times().elapsed
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(words)}\n{log.read()}")
    # Of a snakemake run, the processes that it starts count where they are waited for; a dry run starts none.
    return Taken(used.ru_utime + used.ru_stime, os.times().elapsed - started, used.ru_maxrss / 1024)


def copies(captions: dict[str, Any], times: int) -> dict[str, Any]:
    """The same captions of so many times as many videos. Ids keep their length."""
    return {f"{video[:-2]}{copy:02d}": told for copy in range(times) for video, told in captions.items()}


def write_inputs(folder: Path, captions: Path, times: int) -> None:
    """Annotations, videos (empty files), proposals, and captions of an ensemble."""
    draw = random.Random(0)
    told = {name: copies(_distinct(json.loads((captions / f"{name}.json").read_text())), times) for name in NAMES}
    database = {}
    for subset, names in (("training", ("train",)), ("validation", ("val_1", "val_2"))):
        for video, entry in sorted({key: value for name in names for key, value in told[name].items()}.items()):
            actions = [
                {"segment": segment, "label": f"action {draw.randrange(200)}"} for segment in entry["timestamps"][:2]
            ]
            actions = [action for action in actions if action["segment"][0] < action["segment"][1]]
            database[video[2:]] = {"subset": subset, "duration": entry["duration"], "annotations": actions}
    for number in range(TEST_VIDEOS * times):
        database[f"test{number:07d}"] = {"subset": "testing", "duration": 60.0, "annotations": []}
    (folder / "actions.json").write_text(json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database}))
    (folder / "videos").mkdir()
    for video in database:
        (folder / "videos" / f"v_{video}.mp4").touch()
    for name in NAMES:
        (folder / f"{name}.json").write_text(json.dumps(told[name]))
    scored = {
        video: [{"segment": segment, "score": draw.random()} for segment in entry["timestamps"]]
        for video, entry in {**told["train"], **told["val_1"]}.items()
    }
    (folder / "proposals.json").write_text(json.dumps({"version": "1", "results": scored, "external_data": {}}))
    said = [sentence for entry in told["val_2"].values() for sentence in entry["sentences"]]
    for member in range(MEMBERS):
        results = {
            video: [{"sentence": draw.choice(said), "timestamp": segment} for segment in entry["timestamps"]]
            for video, entry in told["val_1"].items()
        }
        whole = {"version": "1", "results": results, "external_data": {"used": False, "details": ""}}
        (folder / f"member{member}.json").write_text(json.dumps(whole))


NAMES = ("train", "val_1", "val_2")


def _distinct(captions: dict[str, Any]) -> dict[str, Any]:
    """Captions whose videos still differ where the last two letters of their ids are lost; times in order."""
    kept = {video[:-2]: video for video in sorted(captions)}
    return {
        video: captions[video] | {"timestamps": [sorted(segment) for segment in captions[video]["timestamps"]]}
        for video in kept.values()
    }


def write_store(folder: Path, videos: list[str]) -> None:
    """Features of few channels: what grows with the corpus is the index."""
    from pipeline.datasets.splits import shard_of
    from pipeline.features.combined import ClipGrid
    from pipeline.features.shard import write_features

    grid = ClipGrid(fps=15.0, frames=16, stride=16)
    rows = np.ones((CLIPS, 4), dtype=np.float32)
    members: dict[int, list[str]] = {}
    for video in videos:
        members.setdefault(shard_of(video, SHARDS), []).append(video)
    for shard, inside in sorted(members.items()):
        items = ((video, grid.duration(CLIPS), rows) for video in sorted(inside))
        write_features(folder / "features" / f"{shard:04d}" / "manifest.json", items, dim=4, grid=grid, facts={})


def look_up(folder: Path) -> None:
    """What a stage does with the index: open all shards, ask for the clips of every video."""
    from pipeline.features.store import FeatureStore

    store = FeatureStore(folder, shards=SHARDS)
    rows = sum(store.clips(video) for video in store)
    print(f"{len(store)} videos, {rows} rows")


def stages() -> Iterator[tuple[str, list[str]]]:
    """Stage -> its command, run in the folder of the inputs, in the order of the data flow."""
    python = [sys.executable, "-m"]
    corpus = {
        "actions": ["actions.json"],
        "captions_train": "train.json",
        "captions_val": ["val_1.json", "val_2.json"],
        "videos": "videos",
        "reversed_segments": "swap",
        "uncaptioned": "keep",
    }
    made = "corpus/manifest.json"
    yield "build_corpus", [*python, "pipeline.build_corpus", "--config", json.dumps(corpus), "--output", made]
    mined = ["--concepts", "concepts.json", "--vocabulary", "vocabulary.json", "--idf", "idf.json"]
    lexicon = ["--config", '{"tagger": "lexicon"}', "--corpus", made]
    yield "mine_concepts", [*python, "pipeline.mine_concepts", *lexicon, *mined]
    given = ["--config", '{"kind": "file", "path": "proposals.json"}', "--corpus", made, "--features", "features"]
    yield (
        "propose_events (file)",
        [*python, "pipeline.propose_events", *given, "--state", "state", "--output", "p.json"],
    )
    yield "feature index", [sys.executable, str(ROOT / "benchmarks" / "scale.py"), "--look-up", "features"]
    members = [f"member{member}.json" for member in range(MEMBERS)]
    named = json.dumps({"members": [{"captioner": "a", "seed": seed} for seed in range(MEMBERS)]})
    chosen = ["--config", named, *mined[:2], *mined[4:], "--captions", *members, "--output", "ensemble.json"]
    yield "select_captions", [*python, "pipeline.select_captions", *chosen]
    scored = ["--predictions", "ensemble.json", "--references", "val_1.json", "val_2.json", "--output", "scores.json"]
    yield "evaluate", [*python, "pipeline.evaluate", "captions", *scored]


def plans(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The dry run of the paper's road over the videos, in several numbers of shards. Weights are empty files."""
    from pipeline.config.load import CONFIG, load

    for name in ("Snakefile", "workflow", "profiles", "config"):
        (folder / name).symlink_to(ROOT / name)
    for feature in load("anet", {}, ROOT / CONFIG).extract_features.values():
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
    """Command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--captions", type=Path, help="folder of train.json, val_1.json and val_2.json")
    arguments.add_argument("--times", type=int, nargs="+", default=[1, 3], help="sizes, of ActivityNet's")
    arguments.add_argument("--only", nargs="+", help="stages whose names begin so, of those that need no other")
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
            write_store(folder, [f"v_{number:011d}" for number in range(20_000 * times)])
            for stage, words in [*stages(), *plans(folder)]:
                if args.only and not stage.startswith(tuple(args.only)):
                    continue
                taken = measure(words, folder)
                print(
                    f"| {stage} | {times} | {taken.processor:.1f} | {taken.clock:.0f} | {taken.megabytes:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

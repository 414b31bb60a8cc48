"""Time `sa-tsp caption` on drawn films of 854 x 480 pixels, with the share of each step, and its peak memory.

- `command` is the whole command in a process of its own, from its start to the subtitles.
- `decoding` is a pass over the film for an extractor that costs nothing, at the model's frame rate.
- `features` is the pass with the model's extractors, in which the film is decoded once.
- `proposals` and `captions` are what the model does with these features.

The share of the features is that of their pass without decoding; the rest of the command is its start and its files.

    python benchmarks/caption.py --model results/demo/model --seconds 60 3600
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.bundle.features import VideoFeatures
from pipeline.bundle.model import Model
from pipeline.config.clip_geometry import ClipGeometry
from pipeline.features.extraction.extractor_pass import extract_features
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.time_grid import ClipGrid
from pipeline.localization.proposals import Proposal
from pipeline.training.device import resolve_device
from pipeline.video.ffmpeg import find_ffmpeg

from extract import BATCH, FreeExtractor

T = TypeVar("T")

FPS = 30
"""Frame rate of the films."""
MIN_FEATURE_SHARE = 0.85
"""Aim: rate of the command, relative to that of the features alone."""


def draw_film(path: Path, seconds: int) -> None:
    """Draw a film of 854 x 480 pixels with a tone."""
    words = ["-f", "lavfi", "-i", f"testsrc2=size=854x480:rate={FPS}:duration={seconds}"]
    words += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    words += [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "30",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "250",
        "-c:a",
        "aac",
    ]
    words += ["-c:a", "aac", f"file:{path}"]
    subprocess.run([str(find_ffmpeg()), "-y", "-nostdin", "-loglevel", "error", *words], check=True)


def measure_seconds(run: Callable[[], T]) -> tuple[float, T]:
    """Return the time on the clock of a call [s], and what it returns."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def run_command(film: Path, model: Path, folder: Path) -> float:
    """Caption a film with the command; return its peak memory [GB]."""
    words = ["-m", "pipeline.commands", "caption", str(film), "--model", str(model), "--output", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    process = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(process.stderr)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if not (folder / f"{film.stem}.srt").is_file():
        raise SystemExit(f"{folder}: the command wrote no subtitles")
    return max(before, peak) * 1024 / 1e9  # Linux counts in units of 1024 bytes


def decode(film: Path, model: Model) -> None:
    """Decode a film as the model's extractors need it."""
    grids = [extractor.grid for extractor in model.extractors.values() if isinstance(extractor.grid, ClipGrid)]
    grid = max(grids, key=lambda one: one.fps)
    free = FreeExtractor(ClipGeometry(frames=grid.frames, fps=grid.fps, height=72, width=96, crop=64))
    list(extract_features([VideoSource(film.stem, film)], [free], batch_size=BATCH, device=resolve_device("auto")))


def extract(film: Path, model: Model) -> VideoFeatures:
    """Extract the model's features of a film."""
    [(_, result)] = model.extract([VideoSource(film.stem, film)], model.pass_settings())
    if not isinstance(result, VideoFeatures):
        raise SystemExit(f"{film}: {result.detail}")
    return result


def measure_film(seconds: int, model_folder: Path, folder: Path) -> dict[str, float]:
    """Measure everything about a film of some seconds; print and return it."""
    film = folder / f"film{seconds}.mp4"
    draw_film(film, seconds)
    total_s, peak_gb = measure_seconds(lambda: run_command(film, model_folder, folder / f"captions{seconds}"))
    model = Model.open(model_folder)
    decoding_s, _ = measure_seconds(lambda: decode(film, model))
    features_s, features = measure_seconds(lambda: extract(film, model))
    options = model.pass_settings()
    both_s, rows = measure_seconds(lambda: model.caption_video(features, options))
    proposals = [Proposal(*row["timestamp"], row["proposal_score"]) for row in rows]
    captions_s, _ = measure_seconds(lambda: model.caption_video(features, options, proposals))
    parts = {
        "decoding": decoding_s,
        "features": features_s - decoding_s,
        "proposals": both_s - captions_s,
        "captions": captions_s,
    }
    parts["start and files"] = total_s - sum(parts.values())
    print(f"film of {seconds} s: {total_s:.1f} s, {seconds / total_s:.1f} x real time, at most {peak_gb:.2f} GB")
    print("; ".join(f"{name} {part / total_s:.0%}" for name, part in parts.items()))
    print(f"rate relative to the features alone: {features_s / total_s:.0%}")
    return {"seconds": seconds, "total_s": total_s, "peak_gb": peak_gb, "features_s": features_s, **parts}


def main() -> None:
    """Measure films of several lengths; exit with an error if the aim is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", type=Path, required=True, help="model folder")
    arguments.add_argument("--seconds", type=int, nargs="+", default=[60], help="lengths of the films [s]")
    arguments.add_argument("--json", type=Path, help="file for the record")
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        records = [measure_film(seconds, args.model, Path(name)) for seconds in args.seconds]
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    longest = records[-1]
    if longest["features_s"] / longest["total_s"] < MIN_FEATURE_SHARE:
        raise SystemExit("missed: rate relative to the features alone")


if __name__ == "__main__":
    main()

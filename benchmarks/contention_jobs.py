"""The jobs of contention.py, each in a process of its own.

A job builds its networks and its input, and prints `ready`. For each line of standard input, which holds a time in
seconds, it runs steps for that time and prints the seconds per step.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.captioning.captions import cross_entropy

import torch
from extract import NARROW, build_narrow, draw_videos, extract_in_one_pass
from gpu_common import Setting, build_sized_captioner
from gpu_speed import build_train_step

FRAMES = 120
"""Frames of the video of `extraction`."""
SIZE = (128, 170)
"""Height and width of the video of `extraction` [pixels]."""

Step = Callable[[], object]


def build_training(folder: Path) -> Step:
    """Return a training step of the narrow R(2+1)D on a batch of the demo's size."""
    pixels = torch.randn(32, 3, NARROW.frames, NARROW.crop, NARROW.crop).contiguous(
        memory_format=torch.channels_last_3d
    )
    train_step = build_train_step(Setting(torch.device("cpu"), folder, folder), "float32", is_compiled=False)
    return lambda: train_step(pixels)


def build_extraction(folder: Path) -> Step:
    """Return the extraction of the features of a video, from its file."""
    videos, extractor = draw_videos(folder, FRAMES, SIZE, 1), build_narrow(NARROW)
    return lambda: extract_in_one_pass(videos, extractor, threads=1)


def build_captioning(_folder: Path) -> Step:
    """Return a training step of the event captioner, of the demo's size, by cross-entropy."""
    captioner, batch, tokens = build_sized_captioner(hidden=128, num_ids=400, num_rows=40, dim=512, num_videos=8)
    optimizer = torch.optim.Adam(captioner.train().parameters(), lr=1e-5)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(captioner(batch, tokens), tokens).backward()
        optimizer.step()

    return step


JOBS = {"training": build_training, "extraction": build_extraction, "captioner training": build_captioning}


def run(step: Step, seconds: float) -> float:
    """Run steps for some seconds, at least one; return the seconds per step."""
    start = now = time.perf_counter()
    count = 0
    while now < start + seconds or not count:
        step()
        now, count = time.perf_counter(), count + 1
    return (now - start) / count


def main() -> None:
    """Serve the job that the command line names until standard input ends."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        step = JOBS[sys.argv[1]](Path(folder))
        run(step, -math.inf)
        print("ready", flush=True)
        for line in sys.stdin:
            print(run(step, float(line)), flush=True)

"""Time the extraction of features, one pass over each video, beside the reference's way, and beside decoding alone.

All in one run, on films that are drawn here, with the same random-weight narrow encoder:

- A clip is what the narrow encoder is given in the demo, 8 frames of 64 x 64 in about a second; with `--paper` it is
  the paper's, 16 frames of 112 x 112, where the network's own time on a CPU limits what anything else can gain.
- The reference's way is what TSP's code does for each clip: open a file of the standard settings (key frames up to 250
  frames apart), seek to the key frame before the clip, decode every frame up to its end, convert those of its time
  range, resize, normalise and crop them as floats; then the network, a batch of one video's clips at a time.
- Ours is `pipeline.features.extraction.extractor_pass.extract` on the same files, and on files re-encoded to a short
  side of 128 (`reencode.short_side`): clips are made 128 pixels high anyway.
- Decoding alone is our decoder, with as many threads, down to RGB frames that nobody looks at; beside it our whole
  side with an extractor that costs nothing.

`--hour` also takes the peak memory of an hour of 854 x 480 pixels, in a process of its own.

    python benchmarks/extract.py --hour
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pretrain import CLIP, FPS, SIZE, Plain, encode
from torch import Tensor

from pipeline.config.pretrain_encoder import Clip, PretrainEncoder
from pipeline.encoders.clip_reader import length
from pipeline.encoders.model import Pretrained, PretrainingModel
from pipeline.features.combined import ClipGrid
from pipeline.features.extraction.extractor_pass import Made, extract
from pipeline.features.extraction.frame_sampling import exact, nearest, needed
from pipeline.features.extraction.sources import Source
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.clip_encoder import OwnEncoder
from pipeline.training.device import pick
from pipeline.video.shard import VideoRow
from pipeline.video.stream import Pixels, timed
from pipeline.video.tools import ffmpeg

BATCH = 32
NARROW = Clip(frames=8, fps=7.5, height=72, width=96, crop=64)
"""The demo's; `CLIP` is the paper's."""
TIMES_THE_REFERENCE, SHARE_OF_DECODING, PEAK_GB = 6.0, 0.8, 1.5
"""What is aimed at."""
SHORT_SIDE = 128
"""Of the smaller films."""
REFERENCE, DECODING, FREE = "the reference's way", "decoding alone", "one pass, free extractor"


class Free:
    """An extractor that costs nothing."""

    name, dim = "free", 1
    modality: Literal["frames", "sound"] = "frames"
    facts: dict[str, Any] = {}  # noqa: RUF012, nobody writes there

    def __init__(self, clip: Clip) -> None:
        self.grid = ClipGrid(clip.fps, clip.frames, clip.frames)

    def prepare(self, window: Tensor) -> Tensor:
        """Nothing of a window."""
        return window[0, 0, 0, :1]

    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch 1"]:
        """Nothing."""
        return torch.zeros(len(windows), 1)


def films(folder: Path, frames: int, size: tuple[int, int], count: int) -> list[VideoRow]:
    """Some videos of one size (rows and columns), with key frames up to 250 frames apart."""
    path = encode(folder / f"{size[0]}.mp4", frames, 250, size)
    return [VideoRow(f"v{number}", path, frames, float(FPS), size[1], size[0], False) for number in range(count)]


def narrow(clip: Clip) -> OwnEncoder:
    """The encoder with random weights."""
    torch.manual_seed(0)
    config = PretrainEncoder(architecture="r2plus1d_narrow", initial_weights=None, freeze_stem=False, clip=clip)
    model = PretrainingModel(config, 2, 0)
    return OwnEncoder("narrow", Pretrained(model.encoder.eval(), config, ""), clip.frames, pick("auto"))


Features = list[np.ndarray]
"""Of each video [clips, channels]."""


def reference(rows: Sequence[VideoRow], encoder: OwnEncoder, clip: Clip) -> Features:
    """Features of the videos, one after the other, the reference's way."""
    device = pick("auto")
    found = []
    for row in rows:
        starts = range(0, length(row, clip) - clip.frames + 1, clip.frames)
        read = Plain(row.path, list(starts), clip, flip=False)
        # As batches take them: frames, rows, columns, channels.
        batches = (
            [read[index].permute(1, 2, 3, 0).to(device) for index in range(first, min(first + BATCH, len(read)))]
            for first in range(0, len(read), BATCH)
        )
        found.append(torch.cat([encoder(batch) for batch in batches]).cpu().numpy())
    return found


def ours(rows: Sequence[VideoRow], extractor: Extractor, threads: int) -> Features:
    """Features of all videos in one pass."""
    sources = [Source(row.video, row.path, row) for row in rows]
    results = extract(sources, [extractor], batch_size=BATCH, device=pick("auto"), threads=threads)
    return [made.rows for _, [made] in results if isinstance(made, Made)]


def clips(features: Features) -> int:
    """How many there are."""
    return sum(len(of_video) for of_video in features)


def decoding(rows: Sequence[VideoRow], threads: int, clip: Clip) -> int:
    """Decode all videos, to RGB where frames are needed, and no more; gives how many clips they would make."""
    rate = exact(clip.fps)
    for row in rows:
        pixels, wanted = Pixels(), needed(exact(row.fps), row.frames, [rate])
        for frame, _ in nearest(timed(row.path, threads=threads, wanted=wanted), [rate]):
            pixels(frame.picture)
    return sum(length(row, clip) // clip.frames for row in rows)


def hour(folder: Path) -> Path:
    """An hour of 854 x 480 pixels; 5 frames per second, which take little to make, and give as many clips as others."""
    path = folder / "hour.mp4"
    words = ["-f", "lavfi", "-i", "testsrc2=size=854x480:rate=5:duration=3600"]
    words += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "35", "-g", "250", f"file:{path}"]
    subprocess.run([str(ffmpeg()), "-y", "-nostdin", "-loglevel", "error", *words], check=True)
    return path


def peak(path: Path, threads: int) -> None:
    """Extract features of one raw video and print the number of rows and the peak memory of this process, GB."""
    results = extract([Source("hour", path)], [narrow(CLIP)], batch_size=BATCH, device=pick("auto"), threads=threads)
    [(_, [made])] = results
    if not isinstance(made, Made):
        raise SystemExit(f"{path}: {made}")
    # Linux counts in units of 1024 bytes.
    print(len(made.rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def best_of(sides: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Clips per second of each side: the best of several rounds that alternate between the sides."""
    best = dict.fromkeys(sides, 0.0)
    counts = set()
    for _ in range(rounds):
        for side, go in sides.items():
            began = time.perf_counter()
            count = go()
            best[side] = max(best[side], count / (time.perf_counter() - began))
            counts.add(count)
    if len(counts) != 1:
        raise SystemExit(f"the sides gave different numbers of clips: {sorted(counts)}")
    return best


def main() -> None:
    """Run all sides and say what was measured; status 1 where an aim is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--videos", type=int, default=4, help="how many")
    arguments.add_argument("--seconds", type=int, default=40, help="length of each")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best of each side counts")
    arguments.add_argument("--threads", type=int, default=1, help="of the decoder")
    arguments.add_argument("--paper", action="store_true", help="clips of the paper, not of the narrow encoder")
    arguments.add_argument("--hour", action="store_true", help="also measure the memory that an hour of 480p takes")
    arguments.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.peak:
        peak(args.peak, args.threads)
        return
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder, frames = Path(name), args.seconds * FPS
        rows, small = (
            films(folder, frames, size, args.videos) for size in (SIZE, (SHORT_SIDE, SHORT_SIDE * SIZE[1] // SIZE[0]))
        )
        clip = CLIP if args.paper else NARROW
        encoder = narrow(clip)
        check_agreement(reference(rows[:1], encoder, clip)[0], ours(rows[:1], encoder, args.threads)[0])
        best = best_of(
            {
                REFERENCE: lambda: clips(reference(rows, encoder, clip)),
                "one pass": lambda: clips(ours(rows, encoder, args.threads)),
                f"one pass, short side {SHORT_SIDE}": lambda: clips(ours(small, encoder, args.threads)),
                DECODING: lambda: decoding(rows, args.threads, clip),
                FREE: lambda: clips(ours(rows, Free(clip), args.threads)),
            },
            args.rounds,
        )
        for side, rate in best.items():
            print(f"{side:26} {rate:8.1f} clips/s   x {rate / best[REFERENCE]:.1f}")
        times = max(rate for side, rate in best.items() if side.startswith("one pass") and side != FREE)
        times, share = times / best[REFERENCE], best[FREE] / best[DECODING]
        print(f"against the reference's way: x {times:.1f} (aim {TIMES_THE_REFERENCE:g})")
        print(f"with a free extractor: {share:.0%} of decoding alone (aim {SHARE_OF_DECODING:.0%})")
        missed += ["times the reference"] * (times < TIMES_THE_REFERENCE) + ["decoding"] * (share < SHARE_OF_DECODING)
        if args.hour:
            call = [sys.executable, __file__, "--threads", str(args.threads), "--peak", str(hour(folder))]
            said = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout
            count, memory = (float(word) for word in said.split())
            print(f"an hour of 854 x 480: {count:.0f} rows, at most {memory:.2f} GB (aim {PEAK_GB:g})")
            missed += ["memory"] * (memory > PEAK_GB)
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


def check_agreement(one: np.ndarray, other: np.ndarray) -> None:
    """Both sides are to compute the same but for rounding: otherwise their times mean nothing."""
    difference = np.abs(one - other).max() / np.abs(one).max()
    print(f"largest difference of the features: {difference:.1e} of the largest feature")
    if difference > 1e-3:
        raise SystemExit("the two sides compute different features")


if __name__ == "__main__":
    main()

"""Time the extraction of features in one pass over each video; compare it with TSP's access pattern and with decoding.

All sides run in one process, on videos that this script draws, with the same narrow encoder with random weights.

- A clip is that of the demo's narrow encoder, 8 frames of 64 x 64 in about a second. With `--paper` it is the paper's,
  16 frames of 112 x 112; then the network's own time on a CPU limits any gain.
- TSP's access pattern does the following for each clip: open a file of the standard settings (key frames up to 250
  frames apart), seek to the key frame before the clip, decode every frame up to the clip's end, convert the frames of
  its time range, resize, normalise and crop them as floats. The network then sees the clips of one video, a batch at a
  time.
- `one pass` is `pipeline.features.extraction.extractor_pass.extract_features` on the same files, and on files
  re-encoded to a short side of 128 (`reencode.short_side`): clips are resized to a height of 128 pixels anyway.
- `decoding alone` is the pipeline's decoder of re-encoded files with the same number of threads, down to RGB frames
  that are not used. For comparison, the one pass runs with an extractor that costs nothing.
- `raw` are the same files, read as videos of which nothing is known, by ffmpeg in a process of its own. `decoding raw
  videos alone` is PyAV in this process: it decodes every frame, and converts those of the clips to RGB.

`--hour` also measures the peak memory for an hour of 854 x 480 pixels, in a process of its own.

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

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.clip_reader import num_clip_frames
from pipeline.encoders.losses import NumLabels
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.pretrained import PretrainedEncoder
from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature, extract_features
from pipeline.features.extraction.frame_sampling import frame_filter, rate_as_fraction
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.features.time_grid import ClipGrid
from pipeline.training.device import resolve_device
from pipeline.video.reencoded_stream import iter_needed_frames
from pipeline.video.shard import ReencodedVideo

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from jaxtyping import Float
from pretraining_input import CLIP, FPS, SIZE, TspDataset, encode
from torch import Tensor

BATCH = 32
NARROW = ClipGeometry(frames=8, fps=7.5, height=72, width=96, crop=64)
"""Clip of the demo; `CLIP` is the paper's."""
MIN_SPEEDUP, MIN_DECODING_SHARE, MAX_PEAK_GB = 6.0, 0.8, 1.5
"""Aims: speed relative to TSP's access pattern, share of the speed of decoding alone, peak memory [GB]."""
SHORT_SIDE = 128
"""Short side of the smaller videos [pixels]."""
TSP, DECODING, FREE = "TSP's access pattern", "decoding alone", "one pass, free extractor"
DECODING_RAW, FREE_RAW = "decoding raw videos alone", "one pass, raw, free extractor"


class FreeExtractor:
    """An extractor that costs nothing."""

    name, dim = "free", 1
    modality: Literal["frames", "sound"] = "frames"

    def __init__(self, clip: ClipGeometry) -> None:
        self.grid = ClipGrid(clip.fps, clip.frames, clip.frames)
        self.metadata: dict[str, Any] = {}

    def prepare(self, window: Tensor) -> Tensor:
        """Return one pixel of a window."""
        return window[0, 0, 0, :1]

    def __call__(self, windows: Sequence[Tensor]) -> Float[Tensor, "batch 1"]:
        """Return zeros."""
        return torch.zeros(len(windows), 1)


def draw_videos(folder: Path, frames: int, size: tuple[int, int], count: int) -> list[ReencodedVideo]:
    """Draw videos of one size (height and width), with key frames up to 250 frames apart."""
    path = encode(folder / f"{size[0]}.mp4", frames, 250, size)
    height, width = size
    return [ReencodedVideo(f"v{index}", frames, float(FPS), width, height, False, path=path) for index in range(count)]


def build_narrow(clip: ClipGeometry) -> VideoEncoderExtractor:
    """Build the narrow encoder with random weights."""
    torch.manual_seed(0)
    config = EncoderEntry(architecture="r2plus1d_narrow", initial_weights=None, freeze_stem=False, clip=clip)
    model = PretrainingModel(config, NumLabels(2, 0))
    encoder = PretrainedEncoder(model.encoder.eval(), config.architecture, config.clip, "")
    return VideoEncoderExtractor("narrow", encoder, clip.frames, resolve_device("auto"))


Features = list[np.ndarray]
"""Feature rows of each video, [clips, channels]."""


def extract_like_tsp(videos: Sequence[ReencodedVideo], encoder: VideoEncoderExtractor, clip: ClipGeometry) -> Features:
    """Extract the features of the videos, one after another, with TSP's access pattern."""
    device = resolve_device("auto")
    features = []
    for video in videos:
        starts = range(0, num_clip_frames(video, clip) - clip.frames + 1, clip.frames)
        dataset = TspDataset(video.path, list(starts), clip, flip=False)
        # The encoder's batches have the axes frames, rows, columns, channels.
        batches = (
            [dataset[index].permute(1, 2, 3, 0).to(device) for index in range(first, min(first + BATCH, len(dataset)))]
            for first in range(0, len(dataset), BATCH)
        )
        features.append(torch.cat([encoder(batch) for batch in batches]).cpu().numpy())
    return features


def extract_in_one_pass(
    videos: Sequence[ReencodedVideo], extractor: Extractor, threads: int, *, raw: bool = False
) -> Features:
    """Extract the features of all videos in one pass, as re-encoded or as raw videos."""
    sources = [VideoSource(video.video, video.path, None if raw else video) for video in videos]
    results = extract_features(sources, [extractor], batch_size=BATCH, device=resolve_device("auto"), threads=threads)
    return [features.rows for _, [features] in results if isinstance(features, ExtractedVideoFeature)]


def count_rows(features: Features) -> int:
    """Return the number of feature rows of all videos."""
    return sum(len(rows) for rows in features)


def decode(videos: Sequence[ReencodedVideo], threads: int, clip: ClipGeometry) -> int:
    """Decode all videos, to RGB where a clip has a frame; return the number of clips in them."""
    rate = rate_as_fraction(clip.fps)
    for video in videos:
        is_needed = frame_filter(rate_as_fraction(video.fps), video.frames, [rate])
        for frame in iter_needed_frames(video.path, is_needed, threads=threads):
            frame.to_rgb()
    return sum(num_clip_frames(video, clip) // clip.frames for video in videos)


def decode_raw(videos: Sequence[ReencodedVideo], threads: int, clip: ClipGeometry) -> int:
    """Decode all frames of all videos, to RGB where a clip has one; return the number of clips in them."""
    for video in videos:
        converter, step = VideoReformatter(), round(video.fps / clip.fps)
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count, stream.codec_context.thread_type = threads, "FRAME"
            for index, frame in enumerate(container.decode(stream)):
                if index % step == 0:
                    converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
    return sum(num_clip_frames(video, clip) // clip.frames for video in videos)


def draw_hour(folder: Path) -> Path:
    """Draw an hour of 854 x 480 pixels.

    It has 5 frames per second: these are quick to draw, and give as many clips as 30 frames per second.
    """
    from pipeline.video.ffmpeg import find_ffmpeg  # gpu.py imports this file where ffmpeg is not installed

    path = folder / "hour.mp4"
    words = ["-f", "lavfi", "-i", "testsrc2=size=854x480:rate=5:duration=3600"]
    words += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "35", "-g", "250", f"file:{path}"]
    subprocess.run([str(find_ffmpeg()), "-y", "-nostdin", "-loglevel", "error", *words], check=True)
    return path


def print_peak_memory(path: Path, threads: int) -> None:
    """Extract the features of one raw video; print the number of rows and the peak memory of this process [GB]."""
    device, extractor = resolve_device("auto"), build_narrow(CLIP)
    results = extract_features(
        [VideoSource("hour", path)], [extractor], batch_size=BATCH, device=device, threads=threads
    )
    [(_, [features])] = results
    if not isinstance(features, ExtractedVideoFeature):
        raise SystemExit(f"{path}: {features}")
    # Linux counts in units of 1024 bytes.
    print(len(features.rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def measure_rates(sides: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Return the clips per second of each side: the best of several rounds that alternate between the sides."""
    best = dict.fromkeys(sides, 0.0)
    counts = set()
    for _ in range(rounds):
        for side, run in sides.items():
            start = time.perf_counter()
            num_clips = run()
            best[side] = max(best[side], num_clips / (time.perf_counter() - start))
            counts.add(num_clips)
    if len(counts) != 1:
        raise SystemExit(f"the sides returned different numbers of clips: {sorted(counts)}")
    return best


def check_agreement(features: np.ndarray, reference: np.ndarray) -> None:
    """Check that both sides compute the same features up to rounding; otherwise their times cannot be compared."""
    difference = np.abs(features - reference).max() / np.abs(reference).max()
    print(f"largest difference of the features: {difference:.1e} of the largest feature")
    if difference > 1e-3:
        raise SystemExit("the two sides compute different features")


def compare_rates(folder: Path, args: argparse.Namespace) -> list[str]:
    """Print the rates of all sides; return the aims that were missed."""
    small_size = (SHORT_SIDE, SHORT_SIDE * SIZE[1] // SIZE[0])
    videos, small_videos = (draw_videos(folder, args.seconds * FPS, size, args.videos) for size in (SIZE, small_size))
    clip, threads = CLIP if args.paper else NARROW, args.threads
    encoder = build_narrow(clip)
    [one_pass], [tsp] = extract_in_one_pass(videos[:1], encoder, threads), extract_like_tsp(videos[:1], encoder, clip)
    check_agreement(one_pass, tsp)
    passes = {
        "one pass": lambda: count_rows(extract_in_one_pass(videos, encoder, threads)),
        f"one pass, short side {SHORT_SIDE}": lambda: count_rows(extract_in_one_pass(small_videos, encoder, threads)),
    }
    others = {
        DECODING: lambda: decode(videos, threads, clip),
        FREE: lambda: count_rows(extract_in_one_pass(videos, FreeExtractor(clip), threads)),
        DECODING_RAW: lambda: decode_raw(videos, threads, clip),
        FREE_RAW: lambda: count_rows(extract_in_one_pass(videos, FreeExtractor(clip), threads, raw=True)),
    }
    rates = measure_rates(
        {TSP: lambda: count_rows(extract_like_tsp(videos, encoder, clip)), **passes, **others}, args.rounds
    )
    for side, rate in rates.items():
        print(f"{side:30} {rate:8.1f} clips/s   x {rate / rates[TSP]:.1f}")
    speedup = max(rates[side] for side in passes) / rates[TSP]
    share, raw_share = rates[FREE] / rates[DECODING], rates[FREE_RAW] / rates[DECODING_RAW]
    print(f"relative to TSP's access pattern: x {speedup:.1f} (aim {MIN_SPEEDUP:g})")
    print(f"with a free extractor: {share:.0%} of decoding alone (aim {MIN_DECODING_SHARE:.0%})")
    print(f"raw videos: {raw_share:.0%} of decoding alone (aim {MIN_DECODING_SHARE:.0%})")
    shares = {"share of decoding": share, "share of decoding raw videos": raw_share}
    return ["speed-up"] * (speedup < MIN_SPEEDUP) + [name for name in shares if shares[name] < MIN_DECODING_SHARE]


def measure_memory(folder: Path, args: argparse.Namespace) -> list[str]:
    """Print the peak memory for an hour of video; return the aims that were missed."""
    call = [sys.executable, __file__, "--threads", str(args.threads), "--print-peak-memory", str(draw_hour(folder))]
    output = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout
    num_rows, peak_gb = (float(word) for word in output.split())
    print(f"an hour of 854 x 480: {num_rows:.0f} rows, at most {peak_gb:.2f} GB (aim {MAX_PEAK_GB:g})")
    return ["memory"] * (peak_gb > MAX_PEAK_GB)


def main() -> None:
    """Run all sides and print their rates; exit with an error if an aim is missed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--videos", type=int, default=12, help="number of videos")
    arguments.add_argument("--seconds", type=int, default=40, help="length of each video [s]")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best rate of each side counts")
    arguments.add_argument("--threads", type=int, default=1, help="threads of the decoder")
    arguments.add_argument("--paper", action="store_true", help="clips of the paper instead of the narrow encoder's")
    arguments.add_argument("--hour", action="store_true", help="also measure the memory for an hour of 480p")
    # The script runs itself with this option, in a process of its own.
    arguments.add_argument("--print-peak-memory", type=Path, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.print_peak_memory:
        print_peak_memory(args.print_peak_memory, args.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        missed = compare_rates(Path(name), args)
        if args.hour:
            missed += measure_memory(Path(name), args)
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()

"""Time the clips of pretraining, from files to batches, and compare with the access pattern of TSP's code, in one run.

The reference does the same as TSP's dataset with torchvision's `read_video`. It opens a file with the standard settings
(key frames up to 250 frames apart), seeks to the key frame before the clip, decodes every frame up to the end of the
clip and converts those in its time range. It keeps every second frame, and resizes, flips, normalises and crops them as
floats, in the process that reads. The pipeline's side is `pipeline.encoders.clip_loader.ClipLoader` on the same video
with short GOPs, at full size and with a short side of 128. The script draws the video. Without a GPU, the CPU does the
resizing and normalising of the pipeline's side, and that time counts.

    python benchmarks/pretraining_input.py --clips 128 --workers 2
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.encoders.clip_loader import ClipLoader
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import MEAN, STD, central_crop_offset
from pipeline.encoders.sampling import ClipSample
from pipeline.training.device import resolve_device
from pipeline.video.shard import ReencodedVideo

import av
import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

FPS = 30
SIZE = (360, 480)
CLIP = ClipGeometry()
BATCH = 32
AIM = 4.0
"""Rate of the fastest loader over that of TSP's access pattern."""


def scene(frames: int) -> Iterator[np.ndarray]:
    """Yield frames: a moving camera over a textured picture, with moving discs and grain."""
    rng = np.random.default_rng(0)
    height, width = SIZE
    coarse = torch.from_numpy(rng.uniform(0, 255, size=(1, 3, 120, 140)).astype(np.float32))
    texture = functional.interpolate(coarse, scale_factor=8, mode="bicubic")[0].permute(1, 2, 0).clamp(0, 255).numpy()
    rows, columns = np.mgrid[:height, :width]
    for index in range(frames):
        top, left = (int(200 + 180 * math.sin(index / pace)) for pace in (41, 57))
        picture = texture[top : top + height, left : left + width] + rng.normal(0, 3, size=(height, width, 1))
        for disc in range(4):
            y, x = height / 2 * (1 + math.sin(index / 23 + disc)), width / 2 * (1 + math.cos(index / 31 + 2 * disc))
            picture[(rows - y) ** 2 + (columns - x) ** 2 < 40**2] = 60 * disc
        yield picture.clip(0, 255).astype(np.uint8)


def encode(path: Path, frames: int, gop: int, size: tuple[int, int]) -> Path:
    """Encode the scene as H.264 with libx264's defaults.

    Args:
        path: file to write.
        frames: number of frames.
        gop: largest distance of key frames [frames].
        size: height and width [pixels].

    Returns:
        the path.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", "g": str(gop)})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for picture in scene(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(width=size[1], height=size[0], format="yuv420p")))
        container.mux(stream.encode(None))
    return path


class TspDataset(Dataset[torch.Tensor]):
    """Reads clips one by one, as TSP's dataset does.

    Args:
        path: the video.
        starts: first frame of each clip, counted at the clip's frame rate.
        clip: geometry of a clip.
        flip: mirror every second clip, as training does.
    """

    def __init__(self, path: Path, starts: list[int], clip: ClipGeometry, *, flip: bool) -> None:
        self.path, self.starts, self.clip, self.flip = path, starts, clip, flip

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> torch.Tensor:
        clip = self.clip
        start = self.starts[index] / clip.fps
        frames = torch.from_numpy(self._read(start, start + clip.seconds))[:: int(FPS / clip.fps)][: clip.frames]
        video = frames.permute(0, 3, 1, 2).float() / 255
        video = functional.interpolate(video, size=(clip.height, clip.width), mode="bilinear", align_corners=False)
        video = video.flip(3) if self.flip and index % 2 else video
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        top, left = central_crop_offset(clip, (clip.height, clip.width))
        return ((video - mean) / std)[:, :, top : top + clip.crop, left : left + clip.crop].permute(1, 0, 2, 3)

    def _read(self, start: float, end: float) -> np.ndarray:
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            base = stream.time_base
            assert base is not None
            first, last = math.floor(start / base), math.ceil(end / base)
            container.seek(first, stream=stream)
            inside = []
            for frame in container.decode(stream):
                if frame.pts is not None and first <= frame.pts <= last:
                    inside.append(frame.to_ndarray(format="rgb24"))
                if frame.pts is not None and frame.pts >= last:
                    break
            return np.stack(inside)


def tsp_run(path: Path, starts: list[int], workers: int) -> Callable[[], int]:
    """Return a function that reads all clips with TSP's access pattern and returns their number."""
    dataset = TspDataset(path, starts, CLIP, flip=True)
    loader = DataLoader(dataset, BATCH, num_workers=workers, persistent_workers=workers > 0)
    return lambda: sum(len(batch) for batch in loader)


def loader_run(path: Path, frames: int, size: tuple[int, int], starts: list[int], workers: int) -> Callable[[], int]:
    """Return a function that reads all clips with the pipeline's loader and returns their number."""
    device = resolve_device("auto")
    video = ReencodedVideo(path.stem, frames, float(FPS), size[1], size[0], False, path=path)
    loader = ClipLoader(ClipReader({video.video: video}, CLIP), CLIP, device, workers)
    top, left = central_crop_offset(CLIP, CLIP.resized(*size))
    samples = [ClipSample(video.video, start, 0, None, top, left, index % 2 == 1) for index, start in enumerate(starts)]

    def run() -> int:
        num_clips = sum(int(batch.is_readable.sum()) for batch in loader.batches(samples, BATCH))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return num_clips

    return run


def main() -> None:
    """Run all sides in turn, several times, and print the best rate of each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=128, help="clips per round")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best of each side counts")
    arguments.add_argument("--seconds", type=int, default=60, help="length of the video [s]")
    arguments.add_argument("--workers", type=int, default=0, help="worker processes of either side")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    frames = args.seconds * FPS
    end = int(frames / FPS * CLIP.fps) - CLIP.frames
    starts = np.random.default_rng(0).integers(0, end, args.clips).tolist()
    short = (128, 128 * SIZE[1] // SIZE[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = encode(folder / "small.mp4", frames, 30, short)
        full = encode(folder / "full.mp4", frames, 30, SIZE)
        tsp_video = encode(folder / "tsp.mp4", frames, 250, SIZE)
        sides = {
            "TSP's access pattern, GOP 250": tsp_run(tsp_video, starts, args.workers),
            "loader, GOP 30": loader_run(full, frames, SIZE, starts, args.workers),
            "loader, GOP 30, short side 128": loader_run(small, frames, short, starts, args.workers),
        }
        best = dict.fromkeys(sides, math.inf)
        for _ in range(args.rounds):
            for side, run in sides.items():
                start = time.perf_counter()
                if run() != args.clips:
                    raise SystemExit(f"{side}: fewer than {args.clips} clips are readable")
                best[side] = min(best[side], time.perf_counter() - start)
    slowest = next(iter(best.values()))
    for side, seconds in best.items():
        print(f"{side:32} {args.clips / seconds:8.1f} clips/s   x {slowest / seconds:.1f}")
    if slowest / min(best.values()) < AIM:
        raise SystemExit(f"missed: the loader is less than {AIM:g} times as fast")


if __name__ == "__main__":
    main()

"""Time the clips of pretraining, from files to batches, beside the access pattern of TSP's code, in one run.

The plain side does what TSP's data set does through torchvision's `read_video`: it opens a file of the standard
settings (key frames up to 250 frames apart), seeks to the key frame before the clip, decodes every frame up to its end
and converts those of its time range; then it keeps every second one, and resizes, flips, normalises and crops them as
floats, in the process that reads. Ours is `pipeline.encoders.loader.Loader` on the same film with short GOPs, at full
size and with a short side of 128. The film is drawn here. What a GPU would do (resize, normalise), our side does on the
CPU too where there is none, and that time counts.

    python benchmarks/pretrain.py --clips 128 --workers 2
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clips import Sample
from pipeline.encoders.geometry import MEAN, STD, central_crop
from pipeline.encoders.loader import Loader
from pipeline.training.device import pick
from pipeline.video.shard import VideoRow

FPS = 30
SIZE = (360, 480)
CLIP = Clip()
BATCH = 32


def scene(frames: int) -> Iterator[np.ndarray]:
    """A textured picture that a shaking camera moves over, with discs that move by themselves and grain."""
    draw = np.random.default_rng(0)
    height, width = SIZE
    coarse = torch.from_numpy(draw.uniform(0, 255, size=(1, 3, 120, 140)).astype(np.float32))
    wall = functional.interpolate(coarse, scale_factor=8, mode="bicubic")[0].permute(1, 2, 0).clamp(0, 255).numpy()
    rows, columns = np.mgrid[:height, :width]
    for index in range(frames):
        top, left = (int(200 + 180 * math.sin(index / pace)) for pace in (41, 57))
        picture = wall[top : top + height, left : left + width] + draw.normal(0, 3, size=(height, width, 1))
        for disc in range(4):
            y, x = height / 2 * (1 + math.sin(index / 23 + disc)), width / 2 * (1 + math.cos(index / 31 + 2 * disc))
            picture[(rows - y) ** 2 + (columns - x) ** 2 < 40**2] = 60 * disc
        yield picture.clip(0, 255).astype(np.uint8)


def encode(path: Path, frames: int, gop: int, size: tuple[int, int]) -> Path:
    """The scene as H.264, with libx264's defaults but for the distance of key frames and the size."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", "g": str(gop)})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for picture in scene(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(width=size[1], height=size[0], format="yuv420p")))
        container.mux(stream.encode(None))
    return path


class Plain(Dataset[torch.Tensor]):
    """One clip at a time, as TSP's data set gives it: in training every second one is mirrored here."""

    def __init__(self, path: Path, starts: list[int], clip: Clip, *, flip: bool) -> None:
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
        top, left = central_crop(clip, (clip.height, clip.width))
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


def plain(path: Path, starts: list[int], workers: int) -> Callable[[], int]:
    """A run through the clips, the plain way; gives how many there were."""
    loader = DataLoader(
        Plain(path, starts, CLIP, flip=True), BATCH, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda: sum(len(batch) for batch in loader)


def ours(path: Path, frames: int, size: tuple[int, int], starts: list[int], workers: int) -> Callable[[], int]:
    """A run through the clips by the loader; gives how many there were."""
    device = pick("auto")
    row = VideoRow(path.stem, path, frames, float(FPS), size[1], size[0], False)
    loader = Loader(ClipReader({row.video: row}, CLIP), CLIP, device, workers)
    top, left = central_crop(CLIP, CLIP.resized(*size))
    samples = [Sample(row.video, start, 0, None, top, left, index % 2 == 1) for index, start in enumerate(starts)]

    def go() -> int:
        count = sum(int(batch.readable.sum()) for batch in loader.batches(samples, BATCH))
        if device.type == "cuda":
            torch.cuda.synchronize()
        return count

    return go


def main() -> None:
    """Run all sides in turn, several times, and say the best of each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=128, help="clips of a round")
    arguments.add_argument("--rounds", type=int, default=3, help="rounds; the best of each side counts")
    arguments.add_argument("--seconds", type=int, default=60, help="length of the film")
    arguments.add_argument("--workers", type=int, default=0, help="processes that read, on either side")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    frames = args.seconds * FPS
    highest = frames // 2 - CLIP.frames
    starts = np.random.default_rng(0).integers(0, highest, args.clips).tolist()
    short = (128, 128 * SIZE[1] // SIZE[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = encode(folder / "small.mp4", frames, 30, short)
        full = encode(folder / "full.mp4", frames, 30, SIZE)
        sides = {
            "TSP's access pattern, GOP 250": plain(
                encode(folder / "plain.mp4", frames, 250, SIZE), starts, args.workers
            ),
            "loader, GOP 30": ours(full, frames, SIZE, starts, args.workers),
            "loader, GOP 30, short side 128": ours(small, frames, short, starts, args.workers),
        }
        best = dict.fromkeys(sides, math.inf)
        for _ in range(args.rounds):
            for side, go in sides.items():
                began = time.perf_counter()
                if go() != args.clips:
                    raise SystemExit(f"{side}: clips are missing")
                best[side] = min(best[side], time.perf_counter() - began)
    slowest = next(iter(best.values()))
    for side, seconds in best.items():
        print(f"{side:32} {args.clips / seconds:8.1f} clips/s   x {slowest / seconds:.1f}")
    if slowest / min(best.values()) < 4:
        raise SystemExit("the loader is less than 4 times as fast")


if __name__ == "__main__":
    main()

"""What the sections of gpu.py share: the rows of the table, the sizes, the clock, networks and their inputs."""

import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.event_lstm import EventLstmCaptioner
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.config.captioners import EventLstmSettings
from pipeline.config.extractors import EXTRACTORS, RANDOM, ExtractorSpec
from pipeline.encoders.sampling import NO_ACTION, ClipSample
from pipeline.features.networks.base import NetworkExtractor, build_extractor
from pipeline.localization.bmn.model import bmn_losses, bmn_targets, stack_targets
from pipeline.localization.bmn.network import BmnWidths, BoundaryMatchingNetwork
from pipeline.threads import count_cores

import torch
from pretraining_input import encode
from torch import Tensor, nn

MAX_WORDS = 28
DRAWN_SIZE = (360, 480)
"""Height and width of the drawn video [pixels]."""
DRAWN_FPS = 30.0
"""Frame rate of the drawn video."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: the section that measured it.
        subject: what was tested.
        figure: what was measured about it.
        value: the number.
        unit: its unit.
        aim: the number to reach, in words; empty if there is none.
        passed: False if the check failed.
    """

    section: str
    subject: str
    figure: str
    value: float
    unit: str
    aim: str = ""
    passed: bool = True


@dataclass(frozen=True)
class Setting:
    """What the sections work with.

    Attributes:
        device: the device that is tested.
        demo: folder of a finished demo.
        folder: folder for temporary files.
    """

    device: torch.device
    demo: Path
    folder: Path

    @property
    def is_small(self) -> bool:
        """Whether sizes are small, for a test of the script on a CPU."""
        return self.device.type == "cpu"

    @property
    def cores(self) -> int:
        """Number of cores that this process may use."""
        return count_cores()

    @cached_property
    def video(self) -> Path:
        """A drawn video of 480 x 360 pixels and 30 frames per second, with key frames up to 30 frames apart."""
        return encode(self.folder / "video.mp4", self.num_frames, 30, DRAWN_SIZE)

    @property
    def num_frames(self) -> int:
        """Number of frames of the drawn video."""
        return 60 if self.is_small else 300

    def seconds(self, function: Callable[[], object], rounds: int = 5, warmup: int = 2) -> float:
        """Return the median time of a function [s], after `warmup` calls."""
        if self.is_small:
            rounds, warmup = 1, 1
        times = []
        for call in range(warmup + rounds):
            self.synchronize()
            start = time.perf_counter()
            function()
            self.synchronize()
            if call >= warmup:
                times.append(time.perf_counter() - start)
        return statistics.median(times)

    def synchronize(self) -> None:
        """Wait until the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def continue_after_crash(section: str, subject: str, rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows of one subject; if it crashes, print the traceback and yield a failed row."""
    try:
        yield from rows
    except Exception as error:  # one subject must not hide the others
        traceback.print_exc()
        yield Row(section, subject, f"{type(error).__name__}: {str(error)[:200]}", 1.0, "crash", "0", passed=False)


def clip_samples(count: int, num_actions: int, num_concepts: int) -> list[ClipSample]:
    """Return labelled clips, every second one background, for losses on random frames."""
    return [
        ClipSample(
            video="v",
            start_frame=0,
            action=row % num_actions if row % 2 else NO_ACTION,
            concepts=(row % num_concepts, (row + 7) % num_concepts),
            top=0,
            left=0,
            flip=False,
        )
        for row in range(count)
    ]


def build_captioner(setting: Setting, num_videos: int = 4) -> tuple[EventLstmCaptioner, EventBatch, Tensor]:
    """Return a captioner of the published size, a batch of events with random features, and captions of the events."""
    sizes = (32, 50, 20, 24) if setting.is_small else (512, 5747, 120, 3072)
    return build_sized_captioner(*sizes, num_videos)


def build_sized_captioner(
    hidden: int, num_ids: int, num_rows: int, dim: int, num_videos: int
) -> tuple[EventLstmCaptioner, EventBatch, Tensor]:
    """Return a captioner of any size, a batch of events with random features, and captions of the events.

    Args:
        hidden: size of all hidden layers.
        num_ids: size of the vocabulary.
        num_rows: feature rows of a video.
        dim: channels of the features.
        num_videos: videos of the batch, with four events each.
    """
    captioner = EventLstmCaptioner(
        CaptionerSizes({"features": dim}, num_ids, MAX_WORDS), EventLstmSettings(hidden=hidden)
    )
    events_per_video, length = 4, 0.25
    starts = torch.linspace(0.0, 0.7, events_per_video).repeat(num_videos)
    relative_times = torch.stack([starts, starts + length, torch.full_like(starts, length)], 1)
    event_rows = torch.stack([(starts * num_rows).long(), ((starts + length) * num_rows).long()], 1)
    stream = BatchStream(torch.randn(num_videos, num_rows, dim), torch.full((num_videos,), num_rows), event_rows)
    sequence_index = torch.arange(num_videos).repeat_interleave(events_per_video)
    tokens = torch.randint(2, num_ids, (num_videos * events_per_video, 12))
    tokens[:, -1] = 0
    return captioner, EventBatch({"features": stream}, sequence_index, relative_times), tokens


def build_bmn(setting: Setting, num_videos: int, dim: int) -> tuple[BoundaryMatchingNetwork, Tensor]:
    """Return BMN and random features of some videos."""
    positions, widths = (20, BmnWidths(8, 16, 8, 16)) if setting.is_small else (100, BmnWidths())
    return BoundaryMatchingNetwork(dim, positions, widths), torch.randn(num_videos, positions, dim)


def bmn_objective(network: nn.Module, features: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the outputs and the loss of BMN on two events per video."""
    output = network(features)
    targets = stack_targets([bmn_targets([(7.0, 40.0), (35.0, 93.0)], 100.0, features.shape[1])] * len(features))
    draws = torch.rand(2, *targets.iou.shape, generator=torch.Generator().manual_seed(0))
    losses = bmn_losses(output, targets.to(features.device), draws.to(features.device))
    return list(vars(output).values()), losses.total


def distinct_extractors(setting: Setting) -> dict[str, ExtractorSpec]:
    """Return the extractors, one of those that differ only in their weights."""
    by_network = {(spec.build, *sorted(spec.arguments.items())): name for name, spec in reversed([*EXTRACTORS.items()])}
    names = {"vggish"} if setting.is_small else set(by_network.values())
    return {name: spec for name, spec in EXTRACTORS.items() if name in names}


def build_random_extractor(name: str, device: torch.device) -> NetworkExtractor:
    """Build an extractor with random weights, which are the same at every call."""
    return build_extractor(EXTRACTORS[name].settings.parse({"extractor": name, "weights": RANDOM}, name), device)


def random_window(spec: ExtractorSpec, size: tuple[int, int]) -> Tensor:
    """Return a random window of an extractor's input, as the decoder returns it; frames have the given size."""
    if spec.modality == "sound":
        return torch.rand(spec.grid.frames) * 2 - 1
    return torch.randint(0, 256, (spec.grid.frames, *size, 3), dtype=torch.uint8)

"""Features of a recognizer: one vector per frame of a re-encoded video (Mahdisoltani et al., 2018, section 6.2).

A video is split into clips as long as those of the training, one after the other. The last clip ends with the video;
of its vectors only those of frames that no earlier clip has are kept. A video shorter than a clip is padded as in
training, and the vectors of the padding are dropped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from pipeline.config.base import Settings
from pipeline.config.extract_features import RecognizerFeatureSettings
from pipeline.datasets.corpus import RejectedVideo
from pipeline.encoders.clip_reader import ClipReader, num_clip_frames
from pipeline.encoders.clip_transforms import BY_64, central_crop_offset, transform_batch
from pipeline.encoders.two_channel.recognizer import Recognizer, read_recognizer
from pipeline.errors import PipelineError
from pipeline.features.extraction.sources import num_shards
from pipeline.features.extraction.writer import REJECTS, STAGE
from pipeline.features.shard import Item, check_existing, write_shard
from pipeline.features.time_grid import ClipGrid
from pipeline.io.progress import Progress
from pipeline.io.tables import write_rows
from pipeline.provenance.computation import Computation
from pipeline.training.device import resolve_device
from pipeline.training.precision import autocast
from pipeline.video.shard import ReencodedVideo, ReencodedVideos

UNREADABLE = "unreadable"
"""Reason of a video whose file cannot be decoded."""


@dataclass
class RecognizerFeatures:
    """Computes the vectors of videos.

    Attributes:
        recognizer: the network.
        videos: the re-encoded videos, by id.
        settings: settings of the feature.
        device: device of the network.
        rejects: videos that `items` gave a reason instead of rows.
    """

    recognizer: Recognizer
    videos: Mapping[str, ReencodedVideo]
    settings: RecognizerFeatureSettings
    device: torch.device
    rejects: list[RejectedVideo] = field(default_factory=list)

    @property
    def grid(self) -> ClipGrid:
        """The times of the rows: a row is a frame."""
        return ClipGrid(self.recognizer.config.clip.fps, 1, 1)

    @property
    def dim(self) -> int:
        """Size of a vector."""
        return self.recognizer.network.encoder.dim

    def items(self) -> Iterator[Item]:
        """Yield every video with its rows, or with the reason why it has none; list those in `rejects`."""
        self.recognizer.network.to(self.device)
        reader = ClipReader(self.videos, self.recognizer.config.clip, padding="both")
        progress = Progress("videos", len(self.videos))
        for video, row in self.videos.items():
            try:
                yield video, row.duration, self._rows(reader, row)
            except PipelineError as error:
                self.rejects.append(RejectedVideo(video, STAGE, UNREADABLE, str(error)))
                yield video, row.duration, UNREADABLE
            progress.step()

    def check_rejects(self) -> None:
        """Check the share of videos without the feature.

        Raises:
            PipelineError: it is larger than `max_rejected` allows; names the first three.
        """
        if len(self.rejects) > self.settings.max_rejected * len(self.videos):
            details = "; ".join(row.detail for row in self.rejects[:3])
            raise PipelineError(
                f"{len(self.rejects)} of {len(self.videos)} videos cannot be decoded, more than extract_features "
                f"max_rejected = {self.settings.max_rejected:g} allows: {details}"
            )

    @torch.no_grad()
    def _rows(self, reader: ClipReader, row: ReencodedVideo) -> Float[np.ndarray, "frames dim"]:
        """Compute the vector of each frame of a video."""
        clip, num_frames = self.recognizer.config.clip, num_clip_frames(row, self.recognizer.config.clip)
        offset = central_crop_offset(clip, clip.resized(row.height, row.width))
        starts = range(0, num_frames, clip.frames)
        rows = np.zeros((num_frames, self.dim), np.float32)
        for first in range(0, len(starts), self.settings.batch_size):
            batch = starts[first : first + self.settings.batch_size]
            frames = [torch.from_numpy(reader.read(row.video, start)).to(self.device) for start in batch]
            pixels = transform_batch(frames, clip, [offset] * len(batch), [False] * len(batch), BY_64)
            with autocast(self.device, self.recognizer.config.precision):
                vectors = self.recognizer.network.encoder(pixels).float().cpu().numpy()
            for start, of_clip in zip(batch, vectors, strict=True):
                stop = min(start + clip.frames, num_frames)
                moved = clip.frames - (stop - start)
                # A clip that would reach past the end was moved to the end, or padded on both sides.
                skipped = moved // 2 if num_frames < clip.frames else moved
                rows[start:stop] = of_clip[skipped : skipped + stop - start]
        return rows


def write_recognizer_shard(
    section: Settings,
    settings: RecognizerFeatureSettings,
    recognizer_manifest: Path,
    shards: list[Path],
    manifest: Path,
    *,
    overwrite: bool,
) -> None:
    """Write a shard of the feature of a recognizer.

    Args:
        section: settings of the feature, for its provenance.
        settings: the same, as those of a recognizer.
        recognizer_manifest: manifest of the recognizer.
        shards: manifests of re-encoded shards.
        manifest: manifest to write.
        overwrite: replace another feature.

    Raises:
        PipelineError: the recognizer or a shard is damaged, too many videos cannot be decoded, or another feature
            exists.
    """
    computation = Computation(STAGE, section, [*shards, recognizer_manifest], [manifest])
    if not overwrite and computation.restore():
        return
    videos = ReencodedVideos.read(shards).by_id
    recognizer = read_recognizer(recognizer_manifest)
    features = RecognizerFeatures(recognizer, videos, settings, resolve_device(settings.device))
    metadata = {
        "recognizer": settings.recognizer,
        "size": recognizer.config.size,
        "weights_sha256": recognizer.weights_sha256,
        "clip": recognizer.config.clip.model_dump(mode="json"),
    }
    dim, grid = features.dim, features.grid
    check_existing(manifest, dim=dim, grid=grid, metadata=metadata, overwrite=overwrite)
    items = list(features.items())
    features.check_rejects()
    write_shard(manifest, items, dim=dim, grid=grid, metadata=metadata, num_shards=num_shards(shards))
    write_rows(manifest.parent / REJECTS, features.rejects, RejectedVideo)
    computation.keep_outputs()

"""Extraction of requested features: skip what exists, resume what was stopped, write shards with their provenance."""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.base import Settings
from pipeline.config.extract_features import EncoderFeatureSettings
from pipeline.config.extractors import PassSettings, PublishedFeatureSettings
from pipeline.datasets.corpus import RejectedVideo
from pipeline.encoders.pretrained import read_encoder
from pipeline.errors import PipelineError
from pipeline.features.extraction.extractor_pass import ExtractedVideoFeature, extract_features
from pipeline.features.extraction.sources import FileHashes, VideoSource, num_shards
from pipeline.features.extraction.windows import Rejection
from pipeline.features.extraction.writer import (
    JOURNAL,
    REJECTS,
    STAGE,
    FeatureWriter,
    check_up_to_date,
    feature_fingerprint,
    feature_metadata,
    pending_groups,
    read_rejects,
    remove_resume_files,
)
from pipeline.features.networks.base import Extractor, build_extractor
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.features.shard import check_existing
from pipeline.io.progress import Progress
from pipeline.provenance.computation import Computation, computation_path
from pipeline.provenance.record import record_path
from pipeline.training.device import resolve_device
from pipeline.video.reasons import NO_SOUND


@dataclass(frozen=True)
class FeatureRequest:
    """A feature to extract.

    Attributes:
        section: settings of the feature, for its provenance.
        extractor: extractor of the feature.
        files: files that the extractor was built from.
        manifest: manifest to write.
    """

    section: Settings
    extractor: Extractor
    files: Sequence[Path]
    manifest: Path


def request_encoder_feature(
    section: Settings, settings: EncoderFeatureSettings, encoder: Path, manifest: Path
) -> FeatureRequest:
    """Request the feature of an encoder that `pretrain_encoder` trained.

    Args:
        section: settings of the feature, for its provenance.
        settings: settings of the feature.
        encoder: manifest of the encoder.
        manifest: manifest to write.

    Raises:
        PipelineError: the encoder is absent or damaged.
    """
    device = resolve_device(settings.device)
    pretrained, snippets = read_encoder(encoder), settings.snippets
    extractor = VideoEncoderExtractor(settings.encoder, pretrained, settings.stride, device, snippets=snippets)
    return FeatureRequest(section, extractor, [encoder], manifest)


def request_published_feature(section: Settings, settings: PublishedFeatureSettings, manifest: Path) -> FeatureRequest:
    """Request the feature of a published network.

    Args:
        section: settings of the feature, for its provenance.
        settings: settings of the feature.
        manifest: manifest to write.

    Raises:
        PipelineError: weights that are absent, damaged, or of another network; a library that is not installed.
    """
    extractor = build_extractor(settings, resolve_device(settings.device))
    return FeatureRequest(section, extractor, extractor.files, manifest)


def extract_requested(
    requests: Sequence[FeatureRequest],
    sources: Sequence[VideoSource],
    paths: Sequence[Path],
    options: PassSettings,
    *,
    max_rejected: float,
    overwrite: bool,
) -> int:
    """Extract the requested features that do not exist yet, and print a table of the rejected videos.

    Args:
        requests: the features.
        sources: the videos.
        paths: files, folders and manifests in which the videos were found.
        options: settings of the pass.
        max_rejected: share of the videos that may be rejected for another reason than missing sound.
        overwrite: replace features that were made in another way.

    Returns:
        number of videos that lack a feature.

    Raises:
        PipelineError: a feature exists and was made in another way; too many videos are rejected.
    """
    hashes = FileHashes()
    hash_inputs = functools.partial(_hash_inputs, sources=sources, paths=paths, hashes=hashes)
    rejects: list[Reject] = []
    pending: list[FeatureRequest] = []
    for request in requests:
        if _is_up_to_date(request, hash_inputs, options, overwrite=overwrite):
            rejects += [(request.extractor.name, reject) for reject in read_rejects(request.manifest)]
        else:
            pending.append(request)
    with ExitStack() as stack:
        writers = []
        for request in pending:
            fingerprint = feature_fingerprint(request.extractor, options.tail, request.section)
            writers.append(stack.enter_context(FeatureWriter(request.manifest, request.extractor, fingerprint)))
        if writers:
            extraction = _Extraction(writers, pending, options, max_rejected, len(sources), hashes)
            extraction.run(sources)
        for request, writer in zip(pending, writers, strict=True):
            writer.write(options.tail, num_shards(paths))
            computation = _computation(request, hash_inputs(request), options)
            computation.keep_outputs([request.manifest.with_name(REJECTS)])
            remove_resume_files(request.manifest)
            rejects += [(request.extractor.name, reject) for reject in writer.rejects]
    _print_rejects(rejects)
    return len({reject.video for _, reject in rejects})


def _hash_inputs(
    request: FeatureRequest, sources: Sequence[VideoSource], paths: Sequence[Path], hashes: FileHashes
) -> dict[Path, str]:
    """Return the sha256 of the files that a feature is made from: raw videos, manifests of shards, weights."""
    raw_videos = (source for source in sources if source.reencoded is None)
    inputs = {source.path: digest for source in raw_videos if (digest := hashes.of_video(source))}
    listed = (*request.files, *(path for path in paths if path.suffix == ".json"))
    return inputs | {path: hashes.of_file(path) for path in listed}


def _computation(request: FeatureRequest, inputs: dict[Path, str], options: PassSettings) -> Computation:
    # More time for each video may save some that took too long, although it is a setting of the machine.
    return Computation(STAGE, request.section, inputs, [request.manifest], timeout_s=options.timeout_s)


def _is_up_to_date(
    request: FeatureRequest,
    hash_inputs: Callable[[FeatureRequest], dict[Path, str]],
    options: PassSettings,
    *,
    overwrite: bool,
) -> bool:
    """Return whether a feature exists, or can be published again, and need not be extracted.

    Raises:
        PipelineError: it exists and was made in another way, and `overwrite` is false.
    """
    manifest, extractor = request.manifest, request.extractor
    metadata = feature_metadata(extractor, options.tail)
    check_existing(manifest, dim=extractor.dim, grid=extractor.grid, metadata=metadata, overwrite=overwrite)
    if overwrite:
        return False
    # Without an earlier result, hashing all videos before the first is extracted would be for nothing.
    if not manifest.is_file() and computation_path(manifest).is_file():
        _computation(request, hash_inputs(request), options).restore()
    # A run removes its journal last: one that was killed just before may not have written all the rest.
    was_killed = (manifest.parent / JOURNAL).is_file()
    if not manifest.is_file() or (was_killed and not record_path(manifest).is_file()):
        return False
    check_up_to_date(manifest, request.section, hash_inputs(request))
    if was_killed:
        _computation(request, hash_inputs(request), options).keep_outputs([manifest.with_name(REJECTS)])
    remove_resume_files(manifest)
    logging.info("%s: up to date, skipped", manifest)
    return True


Reject = tuple[str, RejectedVideo]
"""Name of a feature, and a row of its table of rejected videos."""


@dataclass
class _Extraction:
    """One pass over the videos that no earlier run has finished.

    Attributes:
        writers: one per request.
        requests: the features.
        options: settings of the pass.
        max_rejected: share of the videos that may be rejected for another reason than missing sound.
        num_videos: number of videos, with those that an earlier run has finished.
        hashes: hashes of the videos' files.
    """

    writers: Sequence[FeatureWriter]
    requests: Sequence[FeatureRequest]
    options: PassSettings
    max_rejected: float
    num_videos: int
    hashes: FileHashes

    def run(self, sources: Sequence[VideoSource]) -> None:
        """Extract features and give them to the writers; log the speed."""
        pending = pending_groups(self.writers, sources, self.hashes)
        num_pending = sum(len(group) for groups in pending.values() for group in groups)
        progress, start, seconds = Progress("videos", num_pending), time.monotonic(), 0.0
        for indices, groups in pending.items():
            seconds += self._extract_groups(indices, groups, progress)
        elapsed, num_rows = time.monotonic() - start, sum(writer.num_rows for writer in self.writers)
        logging.info(
            "%d videos, %d feature rows in %.1f s: %.1f rows/s, %.1fx real time",
            *(num_pending, num_rows, elapsed, num_rows / elapsed, seconds / elapsed),
        )

    def _extract_groups(
        self, indices: Sequence[int], groups: Sequence[Sequence[VideoSource]], progress: Progress
    ) -> float:
        """Extract some features of some groups of videos; return the total duration of the videos in seconds."""
        writers = [self.writers[index] for index in indices]
        sources = [source for group in groups for source in group]
        flush_after = {group[-1].video for group in groups if group}
        results = extract_features(
            sources,
            [self.requests[index].extractor for index in indices],
            batch_size=self.options.batch_size,
            device=resolve_device(self.options.device),
            tail=self.options.tail,
            threads=self.options.workers,
            timeout_s=self.options.timeout_s,
            flush_after=flush_after,
        )
        seconds = 0.0
        for source, video_results in results:
            digest = self.hashes.of_video(source)
            for writer, result in zip(writers, video_results, strict=True):
                # Features are useless if the hash of their video, for the provenance, cannot be read.
                unreadable = isinstance(result, ExtractedVideoFeature) and digest is None
                final = Rejection("unreadable", self.hashes.read_error(source)) if unreadable else result
                writer.add(source, final, digest)
            durations = (result.duration for result in video_results if isinstance(result, ExtractedVideoFeature))
            seconds += max(durations, default=0.0)
            self._check_rejects(writers)
            progress.step()
        return seconds

    def _check_rejects(self, writers: Sequence[FeatureWriter]) -> None:
        """Stop if too many videos are rejected: re-encoded files were checked, so something else is wrong."""
        for writer in writers:
            rejects = [reject for reject in writer.rejects if reject.reason != NO_SOUND]
            if len(rejects) > self.max_rejected * self.num_videos:
                details = "; ".join(reject.detail for reject in rejects[:3])
                raise PipelineError(
                    f"{len(rejects)} of {self.num_videos} videos cannot be decoded, more than extract_features "
                    f"max_rejected = {self.max_rejected:g} allows: {details}"
                )


def _print_rejects(rejects: Sequence[Reject]) -> None:
    """Print a table of the rejected videos, one line per reason of a video."""
    features: dict[tuple[str, str, str], list[str]] = {}
    for feature, reject in rejects:
        features.setdefault((reject.video, reject.reason, reject.detail), []).append(feature)
    if features:
        print(f"{len(features)} left out:\nvideo\tfeatures\treason\tdetail")
    for (video, reason, detail), names in sorted(features.items()):
        print("\t".join([video, ",".join(names), reason, detail]))

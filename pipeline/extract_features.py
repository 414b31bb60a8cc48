r"""Extract one feature of one shard of a dataset, or import the feature from a file.

In:  the manifest of a re-encoded shard; the manifest of an encoder or a recognizer, or the weights of a published
     network, or a file that holds the feature (docs/exchange.md).
Out: the manifest of the feature's shard; beside it features.zarr (an array [rows, channels]), index.parquet (which
     rows belong to which video) and rejects.parquet (the videos without the feature, and why).

Each video is decoded once, in order. Frames are sampled at the rate of the extractor, those nearest in time. A window
begins every `stride` frames. The end of a video that fills no whole window is dropped, as TSP does, or padded (setting
`tail`). A video shorter than one window gives one window, padded with its last frame (sound: with silence), and is
marked `padded` in the index. A file that cannot be decoded to its end has no feature; other videos are not affected.

Alone, on one shard of the demo:

    python -m pipeline.extract_features --config '{"encoder": "sa_tsp", "stride": 8}' \
        --encoder results/demo/encoders/sa_tsp/manifest.json \
        --videos results/demo/video/0000/manifest.json --output /tmp/features/manifest.json

Several features of any videos, without a dataset: `sa-tsp features`.

Exit status: 0 if the feature is complete (`max_rejected` of the videos may fail to decode, or have a faulty array in
the file; a video without sound, or without an array, is no failure), 2 if the user must change something first, 1 after
an internal error.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.extract_features import (
    EncoderFeatureSettings,
    FeatureEntry,
    ImportedFeatureSettings,
    RecognizerFeatureSettings,
)
from pipeline.errors import PipelineError
from pipeline.features.exchange import open_features
from pipeline.features.external_array import ArraySelector
from pipeline.features.extraction.recognizer import write_recognizer_shard
from pipeline.features.extraction.run import (
    FeatureRequest,
    extract_requested,
    request_encoder_feature,
    request_published_feature,
)
from pipeline.features.extraction.sources import VideoSource, find_sources, num_shards
from pipeline.features.extraction.writer import STAGE
from pipeline.features.shard import check_existing, write_shard
from pipeline.features.time_grid import ClipGrid, SnippetGrid
from pipeline.provenance.computation import Computation


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, FeatureEntry, STAGE)
    add = arguments.add_argument
    add("--videos", nargs="+", type=Path, required=True, help="manifest of the re-encoded shard")
    add(
        "--encoder",
        nargs="*",
        type=Path,
        default=[],
        help="manifest of the encoder or recognizer that makes the feature",
    )
    add("--output", type=Path, required=True, help="manifest to write")
    add("--overwrite", action="store_true", help="replace a feature that was made in another way")
    args = arguments.parse_args(argv)
    section = read_config(args.config, FeatureEntry, STAGE)
    settings, sources = section.root, find_sources(args.videos)
    if isinstance(settings, ImportedFeatureSettings):
        import_shard(section, sources, args.videos, args.output, overwrite=args.overwrite)
        return 0
    if isinstance(settings, RecognizerFeatureSettings):
        if len(args.encoder) != 1:
            raise PipelineError(f"--encoder: give the manifest of the recognizer {settings.recognizer!r}")
        [recognizer] = args.encoder
        write_recognizer_shard(section, settings, recognizer, args.videos, args.output, overwrite=args.overwrite)
        return 0
    extract_requested(
        [_request(section, args.encoder, args.output)],
        sources,
        args.videos,
        settings,
        max_rejected=settings.max_rejected,
        overwrite=args.overwrite,
    )
    return 0


def _request(section: FeatureEntry, encoders: Sequence[Path], manifest: Path) -> FeatureRequest:
    settings = section.root
    if isinstance(settings, EncoderFeatureSettings):
        if len(encoders) != 1:
            raise PipelineError(f"--encoder: give the manifest of the encoder {settings.encoder!r}")
        return request_encoder_feature(section, settings, encoders[0], manifest)
    assert not isinstance(settings, ImportedFeatureSettings | RecognizerFeatureSettings)
    return request_published_feature(section, settings, manifest)


def imported_grid(settings: ImportedFeatureSettings) -> ClipGrid:
    """Return the times of the rows of a file."""
    if settings.snippets is not None:
        return SnippetGrid(1.0, 1, 1, settings.snippets)
    assert settings.fps is not None and settings.frames is not None and settings.stride is not None
    return ClipGrid(settings.fps, settings.frames, settings.stride)


def import_shard(
    section: FeatureEntry, sources: Sequence[VideoSource], videos: list[Path], manifest: Path, *, overwrite: bool
) -> None:
    """Write a shard of an imported feature; the index lists videos that the file lacks, with that reason.

    Args:
        section: the file, and how its features were made.
        sources: videos of a re-encoded shard, whose durations are known.
        videos: the files in which the videos were found.
        manifest: manifest to write.
        overwrite: replace another feature.

    Raises:
        PipelineError: a raw video; a file that holds no features, or none of these videos; more faulty arrays than
            `max_rejected` allows; numbers of rows that do not match the durations of the videos; another feature that
            already exists.
    """
    settings = section.root
    assert isinstance(settings, ImportedFeatureSettings)
    raw_videos = [source.path for source in sources if source.reencoded is None]
    if raw_videos:
        raise PipelineError(
            f"--videos {raw_videos[0]}: importing a file needs the manifest of a re-encoded shard (manifest.json); for "
            "other videos use sa-tsp exchange import"
        )
    path, grid = Path(settings.file), imported_grid(settings)
    is_file = path.is_file()
    computation = Computation(STAGE, section, [*videos, *([path] if is_file else [])], [manifest])
    # The contents of a folder of features are not hashed, so they may have changed.
    if is_file and not overwrite and computation.restore():
        return
    durations = {source.video: source.reencoded.duration for source in sources if source.reencoded}
    with open_features(path, durations, ArraySelector(settings.suffix, settings.key)) as reader:
        reader.log_choices()
        if durations:
            reader.check_any_usable()
        reader.check_grid(durations, grid)
        metadata, dim = {"feature": path.stem, "imported_from": path.name}, reader.dim
        check_existing(manifest, dim=dim, grid=grid, metadata=metadata, overwrite=overwrite)
        items = list(reader.items(durations))
        reader.log_rejects()
        faults = reader.faults
        if len(faults) > settings.max_rejected * len(durations):
            raise PipelineError(
                f"the arrays of {len(faults)} of {len(durations)} videos cannot be used, more than extract_features "
                f"max_rejected = {settings.max_rejected:g} allows: {'; '.join(row.detail for row in faults[:3])}"
            )
        logging.info("%s: %d videos, %d of them without features", path, len(durations), len(reader.rejects))
        write_shard(manifest, items, dim=dim, grid=grid, metadata=metadata, num_shards=num_shards(videos))
        reader.write_rejects(manifest, durations)
    computation.keep_outputs()


if __name__ == "__main__":
    raise SystemExit(main())

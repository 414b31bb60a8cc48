r"""Extract one feature of one shard of a dataset, or import the feature from a file.

In:  the manifest of a re-encoded shard; the manifest of an encoder, or the weights of a published network, or a file
     that holds the feature (docs/exchange.md).
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

Exit status: 0 if the feature is complete (`max_rejected` of the videos may fail to decode; a video without sound is no
failure), 2 if the user must change something first, 1 after an internal error.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.extract_features import EncoderFeature, ExtractFeatures, ImportedFeature
from pipeline.errors import PipelineError
from pipeline.features.exchange import check_grid, iter_features, num_channels
from pipeline.features.extraction.run import (
    FeatureRequest,
    extract_requested,
    request_encoder_feature,
    request_published_feature,
)
from pipeline.features.extraction.sources import VideoSource, find_sources, num_shards
from pipeline.features.extraction.writer import STAGE
from pipeline.features.shard import check_existing, write_features
from pipeline.features.time_grid import ClipGrid
from pipeline.provenance.record import write_record


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, ExtractFeatures, STAGE)
    add = arguments.add_argument
    add("--videos", nargs="+", type=Path, required=True, help="manifest of the re-encoded shard")
    add("--encoder", nargs="*", type=Path, default=[], help="manifest of the encoder (feature of an encoder only)")
    add("--output", type=Path, required=True, help="manifest to write")
    add("--overwrite", action="store_true", help="replace a feature that was made in another way")
    args = arguments.parse_args(argv)
    section = read_config(args.config, ExtractFeatures, STAGE)
    settings, sources = section.root, find_sources(args.videos)
    if isinstance(settings, ImportedFeature):
        import_shard(settings, sources, args.output, num_shards(args.videos), overwrite=args.overwrite)
        file = Path(settings.file)
        write_record(args.output, STAGE, section, [*args.videos, *([file] if file.is_file() else [])])
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


def _request(section: ExtractFeatures, encoders: Sequence[Path], manifest: Path) -> FeatureRequest:
    settings = section.root
    if isinstance(settings, EncoderFeature):
        if len(encoders) != 1:
            raise PipelineError(f"--encoder: give the manifest of the encoder {settings.encoder!r}")
        return request_encoder_feature(section, settings, encoders[0], manifest)
    assert not isinstance(settings, ImportedFeature)
    return request_published_feature(section, settings, manifest)


def import_shard(
    settings: ImportedFeature, sources: Sequence[VideoSource], manifest: Path, shards: int | None, *, overwrite: bool
) -> None:
    """Write a shard of an imported feature; the index lists videos that the file lacks, with that reason.

    Args:
        settings: the file, and how its features were made.
        sources: videos of a re-encoded shard, whose durations are known.
        manifest: manifest to write.
        shards: number of shards of the feature, if it is known.
        overwrite: replace another feature.

    Raises:
        PipelineError: a raw video; a file that holds no features, or none of these videos; numbers of rows that do not
            match the durations of the videos; another feature that already exists.
    """
    raw_videos = [source.path for source in sources if source.reencoded is None]
    if raw_videos:
        raise PipelineError(
            f"--videos {raw_videos[0]}: importing a file needs the manifest of a re-encoded shard (manifest.json); for "
            "other videos use sa-tsp store import"
        )
    durations = {source.video: source.reencoded.duration for source in sources if source.reencoded}
    path, grid = Path(settings.file), ClipGrid(settings.fps, settings.frames, settings.stride)
    check_grid(path, durations, grid, settings.suffix)
    metadata, dim = {"feature": path.stem, "imported_from": path.name}, num_channels(path, settings.suffix)
    check_existing(manifest, dim=dim, grid=grid, metadata=metadata, overwrite=overwrite)
    items = list(iter_features(path, durations, settings.suffix))
    missing_videos = [video for video, _, rows in items if isinstance(rows, str)]
    if durations and len(missing_videos) == len(durations):
        raise PipelineError(f"{path}: has none of the {len(durations)} videos of this shard; lacks {missing_videos[0]}")
    logging.info("%s: %d videos, %d of them missing in the file", path, len(durations), len(missing_videos))
    write_features(manifest, items, dim=dim, grid=grid, metadata=metadata, shards=shards)


if __name__ == "__main__":
    raise SystemExit(main())

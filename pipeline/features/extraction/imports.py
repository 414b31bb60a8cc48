"""Features that are there already: taken from their files into the store, for the videos of a shard."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.extract_features import GivenFeature
from pipeline.errors import PipelineError
from pipeline.features.combined import ClipGrid, write_features
from pipeline.features.exchange import channels, check_grid, items
from pipeline.features.extraction.sources import Source
from pipeline.features.shard import check_existing


def take(
    given: GivenFeature, sources: Sequence[Source], manifest: Path, shards: int | None, *, overwrite: bool
) -> None:
    """Write a shard of given features; a video that the file does not have stands in the index with that reason.

    Args:
        given: the file, and how its features were made.
        sources: videos of a re-encoded shard, whose durations are known.
        manifest: to write.
        shards: how many of them are one feature, if that is known.
        overwrite: whether another feature there is replaced.

    Raises:
        PipelineError: no file of features, or one that has none of the videos; rows that do not fit the videos'
            durations; a raw video; another feature that is there.
    """
    raw = [source.path for source in sources if source.row is None]
    if raw:
        raise PipelineError(
            f"--videos {raw[0]}: features of a file are taken for re-encoded shards (manifest.json) alone; for other "
            "videos: python -m pipeline.commands.store import"
        )
    durations = {source.video: source.row.duration for source in sources if source.row}
    path, grid = Path(given.file), ClipGrid(given.fps, given.frames, given.stride)
    check_grid(path, durations, grid, given.suffix)
    facts, dim = {"feature": path.stem, "imported_from": path.name}, channels(path, given.suffix)
    check_existing(manifest, dim=dim, grid=grid, facts=facts, overwrite=overwrite)
    found = list(items(path, durations, given.suffix))
    absent = [video for video, _, rows in found if isinstance(rows, str)]
    if durations and len(absent) == len(durations):
        raise PipelineError(f"{path}: has none of the {len(durations)} videos of this shard, like {absent[0]}")
    logging.info("%s: %d videos, %d of them not there", path, len(durations), len(absent))
    write_features(manifest, found, dim=dim, grid=grid, facts=facts, shards=shards)

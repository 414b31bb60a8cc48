"""Features that are there already: taken from their files into the store, for the videos of a shard."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.errors import PipelineError
from pipeline.config.extract_features import GivenFeature
from pipeline.extraction.sources import Source
from pipeline.store.exchange import channels, check_grid, items
from pipeline.store.features import ClipGrid, write_features


def take(given: GivenFeature, sources: Sequence[Source], manifest: Path) -> None:
    """Write a shard of given features; a video that the file does not have stands in the index with that reason.

    Args:
        given: the file, and how its features were made.
        sources: videos of a re-encoded shard, whose durations are known.
        manifest: to write.

    Raises:
        PipelineError: no file of features; rows that do not fit the videos' durations; a raw video.
    """
    raw = [source.path for source in sources if source.row is None]
    if raw:
        raise PipelineError(
            f"--videos {raw[0]}: features of a file are taken for re-encoded shards (manifest.json) alone; for other "
            "videos: python -m pipeline.store import"
        )
    durations = {source.video: source.row.duration for source in sources if source.row}
    path, grid = Path(given.file), ClipGrid(given.fps, given.frames, given.stride)
    check_grid(path, durations, grid, given.suffix)
    facts = {"feature": path.stem, "imported_from": path.name}
    found = items(path, durations, given.suffix)
    write_features(manifest, found, dim=channels(path, given.suffix), grid=grid, facts=facts)

r"""Features of videos, in one pass over each: by our own encoders, by published networks, by any number of them.

In:  videos (the manifest of a re-encoded shard; or files and folders of any videos, as they are), and encoders or
    weights; or, of a shard, a file of features that are there already (docs/exchange.md).
Out: for each feature a manifest vouching for features.zarr (one array [clips, channels]) and index.parquet (which
    rows are whose); beside it rejects.parquet, the videos that have no such feature and why.

Each video is decoded once, in order, for all features. Frames are taken at the rate that a feature wants, those
nearest in time. A clip begins every `stride` frames; what is left at the end and does not fill a clip is dropped, as
TSP does, or padded (`tail`). A video shorter than one clip gives one clip, its last frame repeated (sound: silence
added), and is marked `padded` in the index. A file that cannot be decoded to its end has no features; the rest goes on.

Videos of any kind, without a dataset; writes OUT/{feature}/0000/manifest.json:

    python -m pipeline.extract_features --features sa_tsp i3d_rgb vggish --videos films/ one_more.mkv \
        --encoder sa_tsp=results/demo/encoders/sa_tsp/manifest.json --weights i3d_rgb=weights/rgb_imagenet.pt \
        vggish=random --output OUT

A shard of a dataset, as the rule does it:

    python -m pipeline.extract_features --config '{"encoder": "sa_tsp", "stride": 8}' \
        --encoder results/demo/encoders/sa_tsp/manifest.json \
        --videos results/demo/video/0000/manifest.json --output /tmp/features/manifest.json

Exit status: 0 if every video has every feature (of a shard: if not more than `max_rejected` of it could not be decoded;
a video without sound is no fault), 3 if `--features` had to leave out some videos, 2 if something is to be mended
first, 1 if we are at fault.
"""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.extract_features import (
    AnyVideos,
    ExtractFeatures,
    Extraction,
    GivenFeature,
    OwnFeature,
    PublishedFeature,
    PublishedOptions,
)
from pipeline.encoders.model import read_encoder
from pipeline.extraction.given import take
from pipeline.extraction.output import Output, facts_of, is_made, rejected
from pipeline.extraction.passes import Made, extract
from pipeline.extraction.reading import NO_SOUND
from pipeline.extraction.sources import Source, find_sources
from pipeline.extractors.base import Extractor
from pipeline.extractors.options import Options
from pipeline.extractors.own import OwnEncoder
from pipeline.extractors.registry import POOL, build
from pipeline.store.provenance import record
from pipeline.store.shard import check_existing
from pipeline.training.device import pick
from pipeline.training.log import Progress

STAGE = "extract_features"
SOME_REJECTED = 3
"""Exit status."""


@dataclass(frozen=True)
class Feature:
    """A feature that is wanted.

    Attributes:
        section: how it is made.
        extractor: who makes it.
        files: what the extractor was made from.
        manifest: where it goes.
    """

    section: ExtractFeatures
    extractor: Extractor
    files: list[Path]
    manifest: Path


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, ExtractFeatures, STAGE)
    add = arguments.add_argument
    add("--features", nargs="+", metavar="NAME", help="own encoders, and published networks by their names")
    add("--videos", nargs="+", type=Path, required=True, help="files, folders, manifests of re-encoded shards")
    add("--encoder", nargs="*", default=[], metavar="[NAME=]MANIFEST", help="own encoders; named as their folders")
    add("--weights", nargs="+", default=[], metavar="random|NAME=FILE", help="of published networks; random: of all")
    add("--output", type=Path, required=True, help="folder of all features; without --features the manifest to write")
    add("--overwrite", action="store_true", help="replace features that were made in another way")
    args = arguments.parse_args(argv)
    options: Extraction
    if args.features:
        options = any_videos = read_config(args.config, AnyVideos, STAGE)
        wanted = _named(args, any_videos)
    else:
        section = read_config(args.config, ExtractFeatures, STAGE)
        if isinstance(section.root, GivenFeature):
            take(section.root, find_sources(args.videos), args.output, overwrite=args.overwrite)
            file = Path(section.root.file)
            record(args.output, STAGE, section, [*args.videos, *([file] if file.is_file() else [])])
            return 0
        options, wanted = section.root, [_of_rule(args, section, section.root)]
    rejects = run(wanted, find_sources(args.videos), args.videos, options, overwrite=args.overwrite)
    return SOME_REJECTED if rejects and args.features else 0


def run(
    wanted: Sequence[Feature], sources: Sequence[Source], given: Sequence[Path], options: Extraction, *, overwrite: bool
) -> int:
    """Extract the features that are not there yet, write them, and say what was left out.

    Args:
        wanted: the features.
        sources: the videos.
        given: what `sources` were found in.
        options: for all features.
        overwrite: whether features that were made in another way are replaced.

    Returns:
        how many videos lack a feature.

    Raises:
        PipelineError: a feature is there and was made in another way; too many videos of a shard cannot be decoded.
    """
    shards = [path for path in given if path.suffix == ".json"]
    files = [*shards, *(source.path for source in sources if source.row is None and os.access(source.path, os.R_OK))]
    rejects: list[Reject] = []
    missing: list[Feature] = []
    for feature in wanted:
        made = feature.extractor
        facts = facts_of(made, options.tail)
        check_existing(feature.manifest, dim=made.dim, grid=made.grid, facts=facts, overwrite=overwrite)
        if not overwrite and is_made(feature.manifest, STAGE, feature.section, [*feature.files, *files]):
            logging.info("%s: is there already", feature.manifest)
            rejects += [(feature.extractor.name, row) for row in rejected(feature.manifest)]
        else:
            missing.append(feature)
    with ExitStack() as opened:
        outputs = [opened.enter_context(Output(feature.manifest, feature.extractor, STAGE)) for feature in missing]
        if outputs:
            _extract(outputs, [feature.extractor for feature in missing], sources, options)
        for feature, output in zip(missing, outputs, strict=True):
            output.write(options.tail)
            record(feature.manifest, STAGE, feature.section, [*feature.files, *files])
            rejects += [(feature.extractor.name, row) for row in output.rejects]
    _tell(rejects)
    return len({row["video"] for _, row in rejects})


Reject = tuple[str, dict[str, str]]
"""A feature, and its row of the table of rejects."""


def _extract(
    outputs: Sequence[Output], extractors: Sequence[Extractor], sources: Sequence[Source], options: Extraction
) -> None:
    """One pass over the videos; what it gives goes to the outputs, one for each extractor."""
    progress, began, seconds = Progress(f"{STAGE}, videos", len(sources)), time.monotonic(), 0.0
    device = pick(options.device)
    results = extract(
        sources, extractors, batch_size=options.batch_size, device=device, tail=options.tail, threads=options.workers
    )
    for source, found in results:
        for output, of_feature in zip(outputs, found, strict=True):
            output.add(source, of_feature)
        seconds += max((made.duration for made in found if isinstance(made, Made)), default=0.0)
        _check_budget(options, outputs, len(sources))
        progress.step()
    took, rows = time.monotonic() - began, sum(output.rows for output in outputs)
    told = (len(sources), rows, took, rows / took, seconds / took)
    logging.info("%d videos, %d rows in %.1f s: %.1f rows/s, %.1f times as fast as the videos play", *told)


def _check_budget(options: Extraction, outputs: Sequence[Output], videos: int) -> None:
    """Re-encoded files were checked: where more of them fail than may, something else is wrong."""
    if not isinstance(options, OwnFeature | PublishedFeature):
        return
    for output in outputs:
        failed = [row for row in output.rejects if row["reason"] != NO_SOUND]
        if len(failed) > options.max_rejected * videos:
            named = "; ".join(row["detail"] for row in failed[:3])
            raise PipelineError(
                f"{len(failed)} of {videos} videos of this shard cannot be decoded ({named}), more than config: "
                f"extract_features max_rejected = {options.max_rejected:g} allows"
            )


def _tell(rejects: Sequence[Reject]) -> None:
    """Print a table of what was left out, each fault of a video once."""
    faults: dict[tuple[str, str, str], list[str]] = {}
    for feature, row in rejects:
        faults.setdefault((row["video"], row["reason"], row["detail"]), []).append(feature)
    if faults:
        print(f"{len(faults)} left out:\nvideo\tfeatures\treason\tdetail")
    for (video, reason, detail), features in sorted(faults.items()):
        print("\t".join([video, ",".join(features), reason, detail]))


def _of_rule(args: argparse.Namespace, section: ExtractFeatures, root: OwnFeature | PublishedFeature) -> Feature:
    """The feature that a section of the configuration describes."""
    if isinstance(root, PublishedFeature):
        return _published(section, root, args.output)
    if len(args.encoder) != 1:
        raise PipelineError(f"--encoder: give the manifest of the encoder {root.encoder!r}")
    return _own(section, root, Path(args.encoder[0]), args.output)


def _named(args: argparse.Namespace, options: AnyVideos) -> list[Feature]:
    """The features that a command line names."""
    encoders = {name or Path(path).parent.name: path for name, path in map(_assigned, args.encoder)}
    weights = {name or ALL: path for name, path in map(_assigned, args.weights)}
    if weights.get(ALL, RANDOM) != RANDOM:
        raise PipelineError(f"--weights {weights[ALL]}: say of which network: NAME={weights[ALL]}")
    for name in args.features:
        if name not in encoders and name not in POOL:
            raise PipelineError(f"--features {name}: not known; known are {', '.join([*encoders, *POOL])}")
    for option, names in (("--weights", weights), ("--encoder", encoders)):
        unasked = sorted(names.keys() - {ALL, *args.features})
        if unasked:
            raise PipelineError(f"{option} {unasked[0]}=...: --features does not name it")
    chosen = set(PublishedOptions.model_fields)
    of_all = {"max_rejected": 1.0, **options.model_dump(exclude={"stride", *chosen})}
    found = []
    for name in dict.fromkeys(args.features):
        output = args.output / name / "0000" / "manifest.json"
        if name in encoders:
            own = OwnFeature(encoder=name, stride=options.stride, **of_all)
            found.append(_own(ExtractFeatures(own), own, Path(encoders[name]), output))
            continue
        if name not in weights and ALL not in weights:
            wanted = POOL[name].weights.wanted
            raise PipelineError(f"--features {name}: wants --weights {name}=FILE (or {name}=random): {wanted}")
        published = PublishedFeature(
            extractor=name, weights=weights.get(name, RANDOM), **of_all, **options.model_dump(include=chosen)
        )
        found.append(_published(ExtractFeatures(published), published, output))
    return found


RANDOM, ALL = "random", ""


def _assigned(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    return (name, value) if sign else ("", name)


def _own(section: ExtractFeatures, root: OwnFeature, encoder: Path, manifest: Path) -> Feature:
    extractor = OwnEncoder(root.encoder, read_encoder(encoder), root.stride, pick(root.device))
    return Feature(section, extractor, [encoder], manifest)


def _published(section: ExtractFeatures, root: PublishedFeature, manifest: Path) -> Feature:
    weights = Path(root.weights)
    options = Options(root.stride, root.flow, root.vggish_relu, root.vggish_pca)
    extractor = build(root.extractor, "random" if root.weights == RANDOM else weights, pick(root.device), options)
    return Feature(section, extractor, [weights] if weights.is_file() else [], manifest)


if __name__ == "__main__":
    raise SystemExit(main())

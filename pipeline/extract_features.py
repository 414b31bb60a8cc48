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

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.extract_features import (
    AnyVideos,
    ExtractFeatures,
    Extraction,
    GivenFeature,
    OwnFeature,
    PublishedFeature,
)
from pipeline.errors import PipelineError
from pipeline.features.extraction.digests import Digests
from pipeline.features.extraction.extractor_pass import Made, extract
from pipeline.features.extraction.imports import take
from pipeline.features.extraction.quarantine import Marker, suspicion
from pipeline.features.extraction.requests import Feature, named, of_rule
from pipeline.features.extraction.sources import Source, find_sources, shards_of
from pipeline.features.extraction.window_reader import NO_SOUND, Reason
from pipeline.features.extraction.writer import Output, check_made, facts_of, identity_of, lacking_of, rejected, sweep
from pipeline.features.networks.base import Extractor
from pipeline.features.shard import check_existing
from pipeline.provenance.record import record
from pipeline.training.device import pick
from pipeline.training.log import Progress

STAGE = "extract_features"
SOME_REJECTED = 3
"""Exit status."""


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
        wanted = named(args, any_videos)
    else:
        section = read_config(args.config, ExtractFeatures, STAGE)
        if isinstance(section.root, GivenFeature):
            take(section.root, find_sources(args.videos), args.output, shards_of(args.videos), overwrite=args.overwrite)
            file = Path(section.root.file)
            record(args.output, STAGE, section, [*args.videos, *([file] if file.is_file() else [])])
            return 0
        options, wanted = section.root, [of_rule(args, section, section.root)]
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
    digests = Digests()

    def inputs(feature: Feature) -> dict[Path, str]:
        raw = {source.path: digest for source in sources if source.row is None and (digest := digests.of(source))}
        listed = (*feature.files, *(path for path in given if path.suffix == ".json"))
        return raw | {path: digests.of_file(path) for path in listed}

    rejects: list[Reject] = []
    missing: list[Feature] = []
    for feature in wanted:
        made = feature.extractor
        facts = facts_of(made, options.tail)
        check_existing(feature.manifest, dim=made.dim, grid=made.grid, facts=facts, overwrite=overwrite)
        if overwrite or not feature.manifest.is_file():
            missing.append(feature)
            continue
        check_made(feature.manifest, STAGE, feature.section, inputs(feature))
        sweep(feature.manifest)
        logging.info("%s: is there already", feature.manifest)
        rejects += [(feature.extractor.name, row) for row in rejected(feature.manifest)]
    with ExitStack() as opened:
        outputs = []
        for feature in missing:
            identity = identity_of(feature.extractor, options.tail, STAGE, feature.section)
            outputs.append(opened.enter_context(Output(feature.manifest, feature.extractor, STAGE, identity)))
        if outputs:
            marker = opened.enter_context(Marker([output.manifest.parent for output in outputs]))
            _extract(outputs, [feature.extractor for feature in missing], sources, options, digests, marker)
        for feature, output in zip(missing, outputs, strict=True):
            output.write(options.tail, shards_of(given))
            record(feature.manifest, STAGE, feature.section, inputs(feature))
            output.clear()
            rejects += [(feature.extractor.name, row) for row in output.rejects]
    _tell(rejects)
    return len({row["video"] for _, row in rejects})


Reject = tuple[str, dict[str, str]]
"""A feature, and its row of the table of rejects."""


def _extract(
    outputs: Sequence[Output],
    extractors: Sequence[Extractor],
    sources: Sequence[Source],
    options: Extraction,
    digests: Digests,
    marker: Marker,
) -> None:
    """One pass over the videos that an earlier run has not finished; what it gives goes to the outputs.

    Args:
        outputs: one for each extractor.
        extractors: who looks at the videos.
        sources: the videos.
        options: how.
        digests: of the videos' files.
        marker: says which video is read.
    """
    lacking = lacking_of(outputs, sources, digests)
    suspects = marker.left()
    videos = sum(len(group) for groups in lacking.values() for group in groups)
    progress, began, seconds = Progress(f"{STAGE}, videos", videos), time.monotonic(), 0.0
    for numbers, groups in lacking.items():
        into = [outputs[number] for number in numbers]
        read: list[Source] = []
        last: set[str] = set()
        for group in groups:
            for source in group:
                reason = suspicion(source, options.timeout_s) if source.video in suspects else None
                if reason is None:
                    read.append(source)
                    continue
                for output in into:
                    output.add(source, reason, digests.of(source))
                progress.step()
            last |= {source.video for source in read[-1:]}
        results = extract(
            read,
            [extractors[number] for number in numbers],
            batch_size=options.batch_size,
            device=pick(options.device),
            tail=options.tail,
            threads=options.workers,
            timeout_s=options.timeout_s,
            begin=marker.set,
            last=last,
        )
        for source, found in results:
            digest = digests.of(source)
            for output, of_feature in zip(into, found, strict=True):
                # What was read is of no use if nobody can say what it was read from.
                lost = isinstance(of_feature, Made) and digest is None
                kept = Reason("unreadable", digests.trouble(source)) if lost else of_feature
                output.add(source, kept, digest)
            seconds += max((made.duration for made in found if isinstance(made, Made)), default=0.0)
            _check_budget(options, into, len(sources))
            progress.step()
    took, rows = time.monotonic() - began, sum(output.rows for output in outputs)
    told = (videos, rows, took, rows / took, seconds / took)
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


if __name__ == "__main__":
    raise SystemExit(main())

r"""Localize actions: detections of one trained localizer, or of several localizers whose raw scores are averaged.

In: the corpus, the manifests of the localizers, clip features; for localizers without classes the class scores of whole
videos; for localizers that classify proposals the proposals.
Out: detections in ActivityNet's format (segment, score, label), of every video of some splits that has features (and
class scores), the best first.

Alone:
    python -m pipeline.localize_actions --config '{"localizers": [{"localizer": "gtad"}]}' \
        --corpus results/demo/corpus/manifest.json --localizers results/demo/localizers/gtad/manifest.json \
        --classes results/demo/video_classes/learned.json --features results/demo/features --output /tmp/detections.json
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.localize_actions import DetectionsEntry
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureCache
from pipeline.features.combined import CombinedFeatures
from pipeline.localization.class_fusion import read_class_scores
from pipeline.localization.detections import (
    WeightedLocalizer,
    check_classes,
    classify_detections,
    detect_actions,
    restrict_to_classified,
    write_detections,
)
from pipeline.localization.localizer import LocalizerInputs
from pipeline.localization.localizer_bundle import LocalizerBundle, load_localizer
from pipeline.localization.proposals import external_data_statement, read_proposals
from pipeline.provenance.computation import Computation
from pipeline.training.device import resolve_device

STAGE = "localize_actions"


def localize(
    config: DetectionsEntry,
    *,
    corpus_manifest: Path,
    localizers: Sequence[Path],
    classes: Path | None,
    folder: Path,
    proposals: Path | None,
    output: Path,
) -> None:
    """Write the detections of every video that has features.

    Args:
        config: which localizers are fused, and how classes are given.
        corpus_manifest: manifest of the corpus.
        localizers: manifests of the localizers, in the order of `config.localizers`.
        classes: class scores of whole videos, for localizers without classes.
        folder: folder of all features.
        proposals: proposals, for localizers that classify proposals.
        output: detections to write.

    Raises:
        PipelineError: the localizers cannot be fused, need another file, or know other classes than the corpus.
    """
    corpus = Corpus.open(corpus_manifest)
    bundles = [load_localizer(path) for path in localizers]
    _check_bundles(bundles, localizers, corpus, classes=classes, proposals=proposals)
    features = [bundle.open_features(folder, corpus.num_shards) for bundle in bundles]
    files = [corpus_manifest, *localizers, *_manifests(features), *filter(None, [classes, proposals])]
    computation = Computation(STAGE, config, files, [output])
    if computation.restore():
        return
    of_videos = read_proposals(proposals) if proposals else None
    weighted = []
    for bundle, of_bundle, fused in zip(bundles, features, config.localizers, strict=True):
        bundle.localizer.network.to(resolve_device(config.device))
        inputs = LocalizerInputs(FeatureCache(of_bundle, limit_gb=0.0), of_videos)
        weighted.append(WeightedLocalizer(bundle.localizer, inputs, fused.weight))
    class_scores = read_class_scores(classes) if classes else None
    videos = set.intersection(
        {row.video for row in corpus.videos if row.split in config.splits},
        *(set(of_bundle.videos) for of_bundle in features),
    )
    if class_scores:
        check_classes(class_scores, corpus.labels, corpus_manifest)
        videos = restrict_to_classified(videos, class_scores)
    if not videos:
        needed = "features and class scores" if classes else "features"
        splits = " and ".join(config.splits)
        raise PipelineError(f"{corpus_manifest}: no video of {splits} has {needed}; there is nothing to localize")
    detections = detect_actions(weighted, sorted(videos), bundles[0].settings.batch_size)
    if class_scores:
        detections = classify_detections(detections, class_scores, config.top_classes)
    write_detections(output, detections, corpus.labels, external_data_statement(_manifests(features)))
    computation.keep_outputs()


def _check_bundles(
    bundles: Sequence[LocalizerBundle],
    paths: Sequence[Path],
    corpus: Corpus,
    *,
    classes: Path | None,
    proposals: Path | None,
) -> None:
    """Refuse localizers of several kinds or of other classes, and missing or needless files."""
    for bundle, path in zip(bundles, paths, strict=True):
        kind, first = bundle.settings.kind, bundles[0].settings.kind
        if kind != first:
            raise PipelineError(f"{path}: a localizer of kind {kind} cannot be fused with one of kind {first}")
        if list(bundle.labels) != corpus.labels:
            raise PipelineError(
                f"{path}: trained with other classes than those of {corpus.manifest.path}; train it again"
            )
    settings = bundles[0].settings
    if settings.has_classes == (classes is not None):
        state = "has classes of its own; give no" if settings.has_classes else "has no classes; give a"
        raise PipelineError(f"config: {STAGE}: the localizer {settings.kind} {state} classifier (--classes)")
    if settings.reads_proposals and proposals is None:
        raise PipelineError(
            f"config: {STAGE}: the localizer {settings.kind} classifies proposals and needs --proposals"
        )


def _manifests(features: Sequence[CombinedFeatures]) -> list[Path]:
    return [manifest for of_bundle in features for manifest in of_bundle.manifests]


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, DetectionsEntry, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument(
        "--localizers",
        type=Path,
        nargs="+",
        required=True,
        help="manifests of the localizers, in the order of the config",
    )
    arguments.add_argument("--classes", type=Path, help="class scores of whole videos, for localizers without classes")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--proposals", type=Path, help="proposals, for localizers that classify proposals")
    arguments.add_argument("--output", type=Path, required=True, help="detections to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, DetectionsEntry, STAGE)
    if len(args.localizers) != len(config.localizers):
        raise PipelineError(f"--localizers: {len(args.localizers)} manifests for {len(config.localizers)} localizers")
    localize(
        config,
        corpus_manifest=args.corpus,
        localizers=args.localizers,
        classes=args.classes,
        folder=args.features,
        proposals=args.proposals,
        output=args.output,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

r"""Analyse a captioner of clips (Yang et al., 2022, figures 4 to 8).

In: the corpus, features, a captioner.
Out: a JSON file, and a picture beside it: average cosine similarity of the encoded clips within and between categories;
the nearest clips and the most probable attributes of each clip; scores of the predicted attributes; scores of captions
from fewer frames (`frames`); a map of the embeddings of attributes (`attribute_map`).

Alone:
    python -m pipeline.analyze_clips --corpus results/democlips/corpus/manifest.json \
        --features results/democlips/features --captioner results/democlips/captioners/dap/0/xe/manifest.json \
        --split test --output /tmp/analysis.json
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.captioning.bundle import CaptionerBundle, load_captioner
from pipeline.captioning.clip_analysis import (
    EncodedClips,
    caption_from_frames,
    describe_attributes,
    encode_clips,
    map_attributes,
    score_predicted_attributes,
)
from pipeline.captioning.streams import EventSequence, StreamCache
from pipeline.config.analyze_clips import AnalyzeClips
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.errors import PipelineError
from pipeline.evaluation.clip_similarity import (
    category_similarity,
    cosine_similarities,
    nearest_clips,
    standardise,
)
from pipeline.evaluation.clips import evaluate_clip_captions
from pipeline.io.atomic import write_json
from pipeline.io.progress import Progress
from pipeline.provenance.computation import Computation
from pipeline.report.clip_plots import draw_clip_analysis

STAGE = "analyze_clips"
MIN_CLIPS = 2
"""Channels of fewer clips have no standard deviation."""


def find_clips(corpus: Corpus, split: str, durations: dict[str, float]) -> dict[str, EventSequence]:
    """Return the captioned clips of a split that have features, as one event each, with all their captions.

    Raises:
        PipelineError: there are not enough of them.
    """
    clips = {}
    for clip, annotators in corpus.events(split).items():
        if clip in durations:
            events = [event for of_annotator in annotators.values() for event in of_annotator]
            span = (min(event.start for event in events), max(event.end for event in events))
            clips[clip] = EventSequence(clip, (span,), tuple(event.sentence for event in events))
    if len(clips) < MIN_CLIPS:
        raise PipelineError(
            f"split {split}: {len(clips)} clips with captions and features; an analysis needs {MIN_CLIPS}"
        )
    return clips


def analyze(
    config: AnalyzeClips, corpus: Corpus, bundle: CaptionerBundle, clips: dict[str, EventSequence], cache: StreamCache
) -> dict[str, Any]:
    """Analyse a captioner on clips; see the module."""
    # A clip is encoded as one event, whatever number of captions it has.
    single = {clip: EventSequence(clip, sequence.times) for clip, sequence in clips.items()}
    encoded = encode_clips(bundle, list(single.values()), cache, config.decoding)
    captions = [sequence.sentences for sequence in clips.values()]
    similarities = cosine_similarities(standardise(encoded.features))
    labels = {segment.video: segment.label for segment in corpus.segments}
    categories = [labels.get(clip) for clip in clips]
    result: dict[str, Any] = {"split_clips": len(clips), "similarity": None}
    if all(categories) and len(set(categories)) > 1:
        similarity = category_similarity(similarities, [str(category) for category in categories])
        result["similarity"] = {
            "within": similarity.within,
            "between": similarity.between,
            "categories": similarity.categories,
            "counts": similarity.counts,
            "matrix": similarity.matrix.tolist(),
        }
    if encoded.attributes is not None:
        result["attribute_scores"] = score_predicted_attributes(bundle, encoded.attributes, captions)
    if config.attribute_map:
        result["attribute_map"] = map_attributes(bundle)
    result["frames"] = _score_frames(config, bundle, single, captions, cache)
    names = list(clips)
    nearest = [
        [(names[other], float(similarities[index, other])) for other in row]
        for index, row in enumerate(nearest_clips(similarities, config.neighbours))
    ]
    described = _describe(bundle, encoded, config.attributes) or [[] for _ in names]
    result["clips"] = {
        clip: {"nearest": near, **({"attributes": attributes} if attributes else {})}
        for clip, near, attributes in zip(names, nearest, described, strict=True)
    }
    return result


def _describe(bundle: CaptionerBundle, encoded: EncodedClips, count: int) -> list[list[tuple[str, float]]]:
    if encoded.attributes is None or bundle.attributes is None:
        return []
    return describe_attributes(encoded.attributes, bundle.attributes, count)


def _score_frames(
    config: AnalyzeClips,
    bundle: CaptionerBundle,
    clips: dict[str, EventSequence],
    captions: Sequence[Sequence[str]],
    cache: StreamCache,
) -> list[dict[str, Any]]:
    """Score captions that are made from some numbers of feature rows."""
    references = dict(zip(clips, captions, strict=True))
    progress, rows = Progress("numbers of frames", len(config.frames)), []
    for frames in config.frames:
        sentences = caption_from_frames(bundle, clips, cache, config.decoding, frames)
        scores = evaluate_clip_captions(sentences, references, config.scores, None)
        rows.append({"frames": frames} | {name: value for name, value in scores.items() if isinstance(value, float)})
        progress.step()
    return rows


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, AnalyzeClips, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--captioner", type=Path, required=True, help="manifest of the captioner")
    arguments.add_argument("--split", choices=SPLITS, default="test", help="split whose clips are analysed")
    arguments.add_argument("--output", type=Path, required=True, help="analysis to write, JSON")
    args = arguments.parse_args(argv)
    config = read_config(args.config, AnalyzeClips, STAGE)
    corpus, bundle = Corpus.open(args.corpus), load_captioner(args.captioner)
    features = bundle.open_features(args.features, corpus.num_shards)
    picture = args.output.with_suffix(".png")
    inputs = [args.corpus, *features.manifests, args.captioner]
    computation = Computation(STAGE, config, inputs, [args.output, picture], split=args.split)
    if computation.restore():
        return 0
    clips = find_clips(corpus, args.split, features.durations)
    result = analyze(config, corpus, bundle, clips, StreamCache(features, 0.0))
    write_json(args.output, result)
    draw_clip_analysis(result, picture)
    computation.keep_outputs()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

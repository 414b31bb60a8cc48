r"""Analyse a captioner of clips (Yang et al., 2022, figures 4 to 8).

In: the corpus, features, a captioner.
Out: a JSON file, and a picture beside it: average cosine similarity of the encoded clips within and between categories;
the nearest clips and the most probable attributes of each clip; scores of the predicted attributes; scores of captions
from fewer frames (`frames`); a map of the embeddings of attributes (`attribute_map`); and for some clips a picture that
shows where the network of a feature sees each word of the caption (`word_maps`).

Alone:
    python -m pipeline.analyze_clips --corpus results/democlips/corpus/manifest.json \
        --features results/democlips/features --captioner results/democlips/captioners/dap/0/xe/manifest.json \
        --split test --output /tmp/analysis.json

With `--config '{"word_maps": "concepts"}'` also
    --feature '{"encoder": "concepts", "snippets": 20}' --videos results/democlips/video
    --encoder results/democlips/encoders/concepts/manifest.json
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
from pipeline.captioning.word_maps import find_stream, map_words
from pipeline.config.analyze_clips import AnalyzeClips
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.extract_features import EncoderFeatureSettings, FeatureEntry
from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.encoders.pretrained import read_encoder
from pipeline.errors import PipelineError
from pipeline.evaluation.clip_similarity import (
    category_similarity,
    cosine_similarities,
    nearest_clips,
    standardise,
)
from pipeline.evaluation.clips import evaluate_clip_captions
from pipeline.features.networks.activation_maps import DifferentiableExtractor
from pipeline.features.networks.base import build_extractor
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.io.atomic import write_json
from pipeline.io.progress import Progress
from pipeline.provenance.computation import Computation
from pipeline.report.clip_plots import draw_clip_analysis
from pipeline.report.grad_cam_page import TitledOverlay, write_picture
from pipeline.training.device import resolve_device
from pipeline.video.shard import ReencodedVideos

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


def open_extractor(config: AnalyzeClips, feature: str | None, encoder: Path | None) -> DifferentiableExtractor:
    """Open the extractor of the feature of `word_maps`.

    Args:
        config: the section.
        feature: the entry of `extract_features`, as JSON.
        encoder: manifest of the encoder, if one makes the feature.

    Raises:
        PipelineError: no network of this project makes the feature, or its encoder is not given.
    """
    if feature is None:
        raise PipelineError("config: analyze_clips.word_maps needs --feature, --videos and, of an encoder, --encoder")
    settings, device = read_config(feature, FeatureEntry, "--feature").root, resolve_device(config.decoding.device)
    if isinstance(settings, PublishedFeatureSettings):
        return build_extractor(settings, device)
    if not isinstance(settings, EncoderFeatureSettings):
        raise PipelineError(f"config: analyze_clips.word_maps: no network makes the feature {config.word_maps} here")
    if encoder is None:
        raise PipelineError(f"--encoder: give the manifest of the encoder {settings.encoder!r}")
    return VideoEncoderExtractor(
        settings.encoder, read_encoder(encoder), settings.stride, device, snippets=settings.snippets
    )


def draw_word_maps(
    config: AnalyzeClips,
    bundle: CaptionerBundle,
    clips: dict[str, EventSequence],
    cache: StreamCache,
    extractor: DifferentiableExtractor,
    videos: ReencodedVideos,
    pictures: dict[str, Path],
) -> dict[str, dict[str, str]]:
    """Write a picture of the words of each of some clips.

    Args:
        config: the section.
        bundle: the captioner.
        clips: the clips, as one event each.
        cache: the features.
        extractor: of the feature of `word_maps`.
        videos: files of the clips.
        pictures: the file to write for each clip.

    Returns:
        caption and name of the picture of each clip.
    """
    assert config.word_maps is not None
    stream, progress, described = find_stream(bundle, config.word_maps), Progress("word maps", len(pictures)), {}
    for clip, picture in pictures.items():
        sequence = EventSequence(clip, clips[clip].times)
        maps = map_words(bundle, sequence, cache, config.decoding, stream, extractor, videos.by_id[clip])
        overlays = [TitledOverlay(word, frames) for word, frames in zip(maps.words, maps.frames, strict=True)]
        write_picture(picture, overlays, config.word_map_frames)
        described[clip] = {"caption": maps.sentence, "picture": picture.name}
        progress.step()
    return described


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, AnalyzeClips, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="corpus manifest")
    arguments.add_argument("--features", type=Path, required=True, help="folder of all features")
    arguments.add_argument("--captioner", type=Path, required=True, help="manifest of the captioner")
    arguments.add_argument("--split", choices=SPLITS, default="test", help="split whose clips are analysed")
    arguments.add_argument("--videos", type=Path, help="folder of the re-encoded shards, for word_maps")
    arguments.add_argument("--feature", help="entry of extract_features, JSON, for word_maps")
    arguments.add_argument("--encoder", type=Path, help="manifest of the feature's encoder, for word_maps")
    arguments.add_argument("--output", type=Path, required=True, help="analysis to write, JSON")
    args = arguments.parse_args(argv)
    config = read_config(args.config, AnalyzeClips, STAGE)
    corpus, bundle = Corpus.open(args.corpus), load_captioner(args.captioner)
    features = bundle.open_features(args.features, corpus.num_shards)
    picture = args.output.with_suffix(".png")
    inputs = [args.corpus, *features.manifests, args.captioner]
    clips, cache = find_clips(corpus, args.split, features.durations), StreamCache(features, 0.0)
    word_pictures: dict[str, Path] = {}
    if config.word_maps is not None:
        extractor = open_extractor(config, args.feature, args.encoder)
        if args.videos is None:
            raise PipelineError("--videos: give the folder of the re-encoded shards, which word_maps needs")
        videos = ReencodedVideos.open(args.videos, corpus.num_shards)
        inputs += [*videos.manifests, *([args.encoder] if args.encoder else []), *extractor.files]
        chosen = [clip for clip in clips if clip in videos.by_id][: config.word_map_clips]
        word_pictures = {
            clip: args.output.with_name(f"{args.output.stem}-words-{number}.png") for number, clip in enumerate(chosen)
        }
    outputs = [args.output, picture, *word_pictures.values()]
    computation = Computation(STAGE, config, inputs, outputs, split=args.split, feature=args.feature or "")
    if computation.restore():
        return 0
    result = analyze(config, corpus, bundle, clips, cache)
    if word_pictures:
        result["word_maps"] = draw_word_maps(config, bundle, clips, cache, extractor, videos, word_pictures)
    write_json(args.output, result)
    draw_clip_analysis(result, picture)
    computation.keep_outputs()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

r"""Recognize clips: the class scores and the caption that a recognizer gives to each clip of a split.

In:  the corpus; the re-encoded videos; a recognizer.
Out: a manifest that lists predictions.safetensors (log-probabilities of the classes, token ids of the captions) and
     predictions.json (ids of the clips, names of the classes, words). The central clip of each video counts.

    python -m pipeline.recognize_clips --split test --corpus results/demoacts/corpus/manifest.json \
        --videos results/demoacts/video --recognizer results/demoacts/recognizers/joint/manifest.json \
        --output /tmp/recognition/manifest.json
"""

import logging
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.recognize_clips import RecognizeClips
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.encoders.clip_loader import ClipLoader, report_worker_deaths
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import BY_64
from pipeline.encoders.two_channel.data import central_sample
from pipeline.encoders.two_channel.predictions import ClipPredictions, predict_clips
from pipeline.encoders.two_channel.recognizer import Recognizer, read_recognizer
from pipeline.errors import PipelineError
from pipeline.provenance.computation import Computation
from pipeline.training.device import resolve_device
from pipeline.video.shard import ReencodedVideos

STAGE = "recognize_clips"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, RecognizeClips, STAGE)
    arguments.add_argument("--split", choices=SPLITS, required=True, help="split of the clips")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--recognizer", type=Path, required=True, help="manifest of the recognizer")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, RecognizeClips, STAGE)
    corpus = Corpus.open(args.corpus)
    videos = ReencodedVideos.open(args.videos, corpus.num_shards)
    inputs = [args.corpus, *videos.manifests, args.recognizer]
    computation = Computation(STAGE, config, inputs, [args.output], split=args.split)
    if computation.restore():
        return 0
    recognizer = read_recognizer(args.recognizer)
    with report_worker_deaths():
        predictions = recognize(recognizer, corpus, videos, args.split, config)
    predictions.write(args.output, {"split": args.split, "weights_sha256": recognizer.weights_sha256})
    computation.keep_outputs()
    logging.info("%s: %d clips recognized", args.split, len(predictions.videos))
    return 0


def recognize(
    recognizer: Recognizer, corpus: Corpus, videos: ReencodedVideos, split: str, config: RecognizeClips
) -> ClipPredictions:
    """Compute the predictions of the clips of a split.

    Args:
        recognizer: the network.
        corpus: splits of the videos.
        videos: the re-encoded videos.
        split: the split.
        config: section of the stage.

    Raises:
        PipelineError: the split has no re-encoded video, or too many are unreadable.
    """
    rows = [videos.by_id[row.video] for row in corpus.videos_of_splits(split) if row.video in videos.by_id]
    if not rows:
        raise PipelineError(f"{corpus.manifest.path}: the split {split} has no re-encoded video")
    clip = recognizer.config.clip
    reader = ClipReader({row.video: row for row in rows}, clip, padding="both")
    device = resolve_device(config.device)
    loader = ClipLoader(reader, clip, device, config.workers, normalization=BY_64, stage=STAGE)
    samples = [central_sample(row, clip) for row in rows]
    predictions = predict_clips(recognizer, loader, samples)
    loader.check_unreadable(samples, config.max_unreadable)
    return predictions


if __name__ == "__main__":
    raise SystemExit(main())

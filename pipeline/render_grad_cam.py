r"""Render Grad-CAM: where a recognizer looks for the class and for each word of the caption that it predicts.

In:  the corpus; the labels of its clips; the re-encoded videos; a recognizer with a 3D channel.
Out: a manifest that lists index.html, and for each clip a picture and a video for the class and for each word.

    python -m pipeline.render_grad_cam --split test --corpus results/demoacts/corpus/manifest.json \
        --labels results/demoacts/clip_labels/manifest.json --videos results/demoacts/video \
        --recognizer results/demoacts/recognizers/joint/manifest.json --output /tmp/grad_cam/manifest.json
"""

from pathlib import Path

import torch

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.render_grad_cam import RenderGradCam
from pipeline.datasets.caption_tokens import END, GO
from pipeline.datasets.clip_labels import ClipLabels, LabelledClip
from pipeline.datasets.corpus import SPLITS, Corpus
from pipeline.encoders.clip_loader import ClipLoader
from pipeline.encoders.clip_reader import ClipReader
from pipeline.encoders.clip_transforms import BY_64
from pipeline.encoders.grad_cam import compute_map, overlay_map, scale_map, score_class, score_words
from pipeline.encoders.two_channel.data import central_sample
from pipeline.encoders.two_channel.recognizer import Recognizer, read_recognizer
from pipeline.errors import PipelineError
from pipeline.io.progress import Progress
from pipeline.provenance.computation import Computation
from pipeline.provenance.manifest import write_manifest
from pipeline.report.grad_cam_page import ClipPage, TitledOverlay, write_film, write_page, write_picture
from pipeline.training.device import resolve_device
from pipeline.video.shard import ReencodedVideos

STAGE = "render_grad_cam"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, RenderGradCam, STAGE)
    arguments.add_argument("--split", choices=SPLITS, required=True, help="split of the clips")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--labels", type=Path, required=True, help="manifest of the labels of the clips")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--recognizer", type=Path, required=True, help="manifest of the recognizer")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write; the files go next to it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, RenderGradCam, STAGE)
    corpus = Corpus.open(args.corpus)
    videos = ReencodedVideos.open(args.videos, corpus.num_shards)
    inputs = [args.corpus, args.labels, *videos.manifests, args.recognizer]
    computation = Computation(STAGE, config, inputs, [args.output], split=args.split)
    if computation.restore():
        return 0
    rows = {row.video: row for row in ClipLabels.read(args.labels).clips}
    present = [row.video for row in corpus.videos_of_splits(args.split) if row.video in videos.by_id]
    chosen = [rows[video] for video in present if video in rows][: config.clips]
    if not chosen:
        raise PipelineError(f"{args.corpus}: no labelled clip of the split {args.split} has a re-encoded video")
    files = render(read_recognizer(args.recognizer), chosen, videos, args.output.parent, config)
    write_manifest(args.output, files, {"clips": [row.video for row in chosen], "method": config.method})
    computation.keep_outputs()
    return 0


def render(
    recognizer: Recognizer, rows: list[LabelledClip], videos: ReencodedVideos, folder: Path, config: RenderGradCam
) -> list[Path]:
    """Write the page, and picture and videos of each clip.

    Args:
        recognizer: the network.
        rows: the clips.
        videos: the re-encoded videos.
        folder: folder of the files.
        config: section of the stage.

    Returns:
        the files.

    Raises:
        PipelineError: a clip cannot be read, or the recognizer has no 3D channel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip, device = recognizer.config.clip, resolve_device(config.device)
    network = recognizer.network.to(device)
    network.requires_grad_(requires_grad=False)
    reader = ClipReader({row.video: videos.by_id[row.video] for row in rows}, clip, padding="both")
    loader = ClipLoader(reader, clip, device, workers=0, normalization=BY_64, stage=STAGE)
    samples = [central_sample(videos.by_id[row.video], clip) for row in rows]
    pages, progress = [], Progress("clips", len(rows))
    for row, batch in zip(rows, loader.batches(samples, 1), strict=True):
        loader.check_unreadable(batch.samples, 0.0)
        pixels = batch.pixels[0].contiguous().requires_grad_()
        lines = [f"annotated: {row.label}: {row.full}"]
        overlays = [*class_overlays(recognizer, pixels, config), *word_overlays(recognizer, pixels, row, config, lines)]
        picture = folder / f"{row.video}.png"
        write_picture(picture, overlays, config.columns)
        films = [folder / f"{row.video}-{number}.mp4" for number in range(len(overlays))]
        for film, overlay in zip(films, overlays, strict=True):
            write_film(film, overlay.frames, config.fps)
        pages.append(ClipPage(row.video, lines, [overlay.title for overlay in overlays], picture, films))
        progress.step()
    index = folder / "index.html"
    write_page(index, f"Grad-CAM ({config.method}) of {recognizer.config.size}", pages)
    return [index, *(file for page in pages for file in (page.picture, *page.films))]


def class_overlays(recognizer: Recognizer, pixels: torch.Tensor, config: RenderGradCam) -> list[TitledOverlay]:
    """Return the map of the predicted class; none without a classifier."""
    network = recognizer.network
    if network.classifier is None:
        return []
    with torch.no_grad():
        label = int(network.classifier(network.encoder(pixels[None]))[0].argmax())
    cam = compute_map(score_class(network, pixels, label, config.method), config.method, "class")
    frames = overlay_map(pixels.detach(), scale_map(cam, pixels.shape[-1]))
    return [TitledOverlay(f"class: {recognizer.classes[label]}", frames)]


def word_overlays(
    recognizer: Recognizer, pixels: torch.Tensor, row: LabelledClip, config: RenderGradCam, lines: list[str]
) -> list[TitledOverlay]:
    """Return the map of each word of the caption; none without a decoder.

    Args:
        recognizer: the network.
        pixels: the clip.
        row: the annotation of the clip.
        config: method and decoding.
        lines: lines of the page, to which the caption is added.
    """
    network, tokens = recognizer.network, recognizer.tokens
    if network.decoder is None or tokens is None or recognizer.config.captions is None:
        return []
    if config.decoding == "forced":
        caption = torch.tensor(tokens.encoder().encode(row.caption(recognizer.config.captions)), device=pixels.device)
    else:
        with torch.no_grad():
            caption = network.decoder.generate(network.encoder(pixels[None]), GO, tokens.length)[1][0]
    ids = caption.tolist()
    words = [(step, token) for step, token in enumerate(ids[: ids.index(END)] if END in ids else ids)]
    lines.append(f"{'annotated' if config.decoding == 'forced' else 'generated'} caption: {tokens.caption(ids)}")
    scored = score_words(network, pixels, caption, words, config.method, forced=config.decoding == "forced")
    overlays = []
    for (_, token), scored_word in zip(words, scored, strict=True):
        cam = compute_map(scored_word, config.method, "word")
        heat = scale_map(cam, pixels.shape[-1], per_frame=config.method == "notebook")
        overlays.append(TitledOverlay(f"word: {tokens.caption([token])}", overlay_map(pixels.detach(), heat)))
    return overlays


if __name__ == "__main__":
    raise SystemExit(main())

"""Model folders: copies of a finished run's, and untrained ones; shortcuts to use them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from helpers.extraction import CPU, build, write_encoder
from helpers.score_fixtures import example_scores
from helpers.video_files import write_video
from pipeline.bundle.events import EventCaption
from pipeline.bundle.features import VideoFeatures, extract_videos
from pipeline.bundle.parts import FeaturePart, ModelParts
from pipeline.bundle.writing import write_model_folder
from pipeline.captioning.base import Captioner, CaptionerSizes
from pipeline.captioning.bmt.captioner import BmtCaptioner
from pipeline.captioning.bundle import METRICS, save_captioner
from pipeline.captioning.event_lstm import EventLstmCaptioner
from pipeline.commands import caption
from pipeline.config.bundle_model import BundleModel
from pipeline.config.captioners import BmtSettings, EventLstmSettings
from pipeline.config.extract_features import FeatureEntry
from pipeline.config.extractors import PassSettings
from pipeline.config.feature_combination import name_streams
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.propose_events import LearnedProposalSettings
from pipeline.config.proposers import BmtProposerSettings, BoundarySettings, ProposerSettings
from pipeline.config.select_captions import SelectCaptions
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.encoders.pretrained import read_encoder
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.features.streams import FeatureStreams
from pipeline.io.atomic import write_json
from pipeline.localization.proposer_bundle import save_proposer
from pipeline.localization.proposer_training import build_proposer
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.training.training_loop import BestCheckpoint

WORDS = ("a", "man", "runs", "jumps", "over", "the", "fence", "and", "rests")
FEATURES: dict[str, dict[str, Any]] = {
    "seen": {"encoder": "tiny", "stride": 4},
    "heard": {"extractor": "vggish", "weights": "random", "stride": 16000},
}
"""Settings of the features that an untrained model may read."""
BOTH = {"visual": ["seen"], "audio": ["heard"]}
"""Streams of a bi-modal model."""


def write_untrained_model(
    folder: Path,
    *,
    features: tuple[str, ...] = ("seen",),
    missing: Literal["fail", "zeros"] = "fail",
    bimodal: bool = False,
) -> Path:
    """Write the folder of a model whose weights are random: an encoder, a proposer and two captioners.

    Args:
        folder: the parts are made in `parts`, the model is in `model`.
        features: names in `FEATURES`; captioners read all, the proposer the first.
        missing: whether videos may miss a feature.
        bimodal: whether captioners and proposer are bi-modal transformers, which read both features as streams.

    Returns:
        the folder of the model.
    """
    parts, work = folder / "parts", folder / "work"
    encoder = write_encoder(parts / "encoders" / "tiny")
    entries = {name: FeatureEntry.parse(FEATURES[name], name) for name in features}
    extractors: dict[str, Extractor] = {"seen": VideoEncoderExtractor("tiny", read_encoder(encoder), 4, CPU)}
    if "heard" in features:
        extractors["heard"] = build("vggish", stride=FEATURES["heard"]["stride"])
    source = VideoSource("v", write_video(work / "v.mp4", seconds=4, sound=True))
    [(_, result)] = extract_videos([source], extractors, [], PassSettings(), lambda _source, _seconds: None)
    assert isinstance(result, VideoFeatures)
    result.write(work / "features", extractors, PassSettings())
    captioners = {
        f"tiny-{seed}": _write_captioner(
            parts / f"tiny-{seed}", work / "features", BOTH if bimodal else list(features), missing, seed
        )
        for seed in (0, 1)
    }
    settings: ProposerSettings = BoundarySettings(features=[features[0]], hidden=8)
    if bimodal:
        sizes = {"visual_kernels": [1], "audio_kernels": [3], "head_channels": [4], "hidden": 16}
        settings = BmtProposerSettings(features=BOTH, missing=missing, **sizes)  # type: ignore[arg-type]
    proposer = _write_proposer(parts / "proposer", work / "features", settings)
    texts = [parts / "concepts.json", parts / "idf.json"]
    write_json(texts[0], [{"word": word, "pos": "NOUN", "forms": [word]} for word in ("man", "fence")])
    write_json(texts[1], {"sentences": 9, "idf": {word: len(word) for word in WORDS}})
    captions, scores = parts / "captions.json", parts / "scores.json"
    write_json(captions, {"version": "", "results": {}, "external_data": {"used": False, "details": ""}})
    write_json(scores, example_scores() | {"evaluator": {"name": "none", "code": "0"}})
    model_parts = ModelParts(
        SelectCaptions.parse({"members": [{"captioner": "tiny", "seed": seed} for seed in (0, 1)]}, ""),
        GenerateCaptions(),
        captioners,
        LearnedProposalSettings(max_proposals=4),
        proposer,
        {
            name: FeaturePart(entry, encoder if "encoder" in FEATURES[name] else None, {})
            for name, entry in entries.items()
        },
    )
    output = folder / "model" / "manifest.json"
    write_model_folder(model_parts, BundleModel(), "none", captions, scores, texts, output)
    return output.parent


def _write_captioner(
    folder: Path, features: Path, names: list[str] | dict[str, list[str]], missing: str, seed: int
) -> Path:
    streams = FeatureStreams.open(features, name_streams(names), 1, missing=missing)  # type: ignore[arg-type]
    vocabulary = folder / "words.json"
    write_json(vocabulary, {"min_count": 1, "words": list(WORDS)})
    torch.manual_seed(seed)
    sizes = CaptionerSizes(streams.dims, Vocabulary.read(vocabulary).size, 8)
    captioner: Captioner = (
        BmtCaptioner(sizes, BmtSettings(hidden=16, embedding=12))
        if isinstance(names, dict)
        else EventLstmCaptioner(sizes, EventLstmSettings(hidden=16))
    )
    (folder / METRICS).touch()
    checkpoint = BestCheckpoint(1, None, captioner.state_dict())
    metadata = {"stage": "train_captioner", "features": names, "combination": streams.metadata(), "seed": seed}
    save_captioner(folder / "manifest.json", captioner, vocabulary, checkpoint, metadata)
    return folder / "manifest.json"


def _write_proposer(folder: Path, features: Path, settings: ProposerSettings) -> Path:
    streams = FeatureStreams.open(features, settings.streams, 1, missing=settings.missing)
    torch.manual_seed(0)
    proposer = build_proposer(settings, streams.dim)
    folder.mkdir(parents=True)
    (folder / METRICS).touch()
    checkpoint = BestCheckpoint(1, None, proposer.network.state_dict())
    save_proposer(folder / "manifest.json", proposer, settings, streams, checkpoint)
    return folder / "manifest.json"


def copy_model(run: Path, folder: Path) -> Path:
    """Copy the listed files of a run's model folder, as somebody would send them."""
    source = run / "results" / "demo" / "model"
    for name in ["manifest.json", *read_manifest(source / "manifest.json").files]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)
    return folder


def list_again(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda _: None) -> None:
    """Write the manifest of a model folder anew, as if all its files were meant to be so.

    Args:
        folder: the folder.
        change: changes the description before.
    """
    manifest = read_manifest(folder / "manifest.json")
    path = folder / "model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    write_manifest(manifest.path, [folder / name for name in manifest.files], manifest.metadata)


def run_caption(*arguments: object) -> int:
    """Run `sa-tsp caption` on the CPU; return its exit status."""
    return caption.main([*map(str, arguments), "--device", "cpu"])


def raw_videos(run: Path) -> dict[str, Path]:
    """Return the raw videos of a run by id, those that are broken on purpose too."""
    return {path.stem: path for path in sorted((run / "results" / "demo" / "source" / "videos").iterdir())}


def event(start: float, end: float, sentence: str) -> EventCaption:
    """Return an event with some score."""
    return EventCaption(start, end, sentence, 0.5, -3.25, "tiny-0")

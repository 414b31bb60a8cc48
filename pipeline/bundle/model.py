"""A trained model, read from its folder: it captions videos, and features of videos.

from pipeline.bundle.model import Model

model = Model.open(Path("results/demo/model"))
for event in model.caption(Path("my.mp4")):
print(event.start, event.end, event.sentence)
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.bundle.description import (
    CONCEPTS,
    IDF,
    PROPOSER,
    ModelDescription,
    captioner_part,
    check_file,
    encoder_part,
    read_description,
    read_model_manifest,
)
from pipeline.bundle.events import NO_LIMITS, EventCaption, EventLimits
from pipeline.bundle.features import (
    FeatureNeed,
    RowCounter,
    VideoFeatures,
    captioner_needs,
    extract_videos,
    proposer_needs,
)
from pipeline.bundle.published_weights import find_weights
from pipeline.captioning.bundle import CaptionerBundle, load_captioner
from pipeline.captioning.ensemble import ConceptLexicon, select_captions
from pipeline.captioning.generation import caption_events, submission_rows
from pipeline.captioning.streams import EventSequence, StreamCache
from pipeline.config.base import Device
from pipeline.config.encoders import WEIGHTS_FOLDER
from pipeline.config.extract_features import EncoderFeatureSettings
from pipeline.config.extractors import PassSettings, PublishedFeatureSettings
from pipeline.datasets.video_ids import check_id
from pipeline.encoders.pretrained import read_encoder
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import Predictions
from pipeline.features.extraction.sources import VideoSource
from pipeline.features.extraction.windows import Rejection
from pipeline.features.networks.base import Extractor, build_extractor
from pipeline.features.networks.video_encoder import VideoEncoderExtractor
from pipeline.io.atomic import sha256
from pipeline.localization.proposals import VERSION, Proposal
from pipeline.localization.proposer import open_inputs, propose
from pipeline.localization.proposer_bundle import ProposerBundle, load_proposer
from pipeline.training.device import resolve_device

CaptionRow = dict[str, Any]
"""One caption in the challenge's submission format."""


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        folder: its folder.
        description: what the folder states about it.
        digest: sha256 of the folder's manifest, which lists all files.
        device: name of the device that it computes on.
        extractors: the extractor of each feature.
        proposer: proposes events; None if the model has no proposer.
        captioners: by name, in the order of the ensemble.
        lexicon: concepts and rarity of words, for the selection of captions.
    """

    folder: Path
    description: ModelDescription
    digest: str
    device: Device
    extractors: dict[str, Extractor]
    proposer: ProposerBundle | None
    captioners: dict[str, CaptionerBundle]
    lexicon: ConceptLexicon

    @classmethod
    def open(cls, folder: Path | str, *, weights: Path = WEIGHTS_FOLDER, device: Device = "auto") -> "Model":
        """Read a model, and check every file of its folder.

        Args:
            folder: the folder.
            weights: folder of the published weight files that the model names and does not hold.
            device: device to compute on.

        Raises:
            PipelineError: the folder holds no model, one of a newer version, or a missing or changed file; published
                weights are missing.
        """
        folder = Path(folder)
        manifest = read_model_manifest(folder)
        for name in manifest.files:
            check_file(manifest, name)
        description = read_description(manifest)
        target = resolve_device(device)
        proposer = load_proposer(folder / PROPOSER) if description.proposals else None
        captioners = {name: load_captioner(folder / captioner_part(name)) for name in description.captioners}
        if proposer is not None:
            proposer.proposer.network.to(target)
        return cls(
            folder,
            description,
            sha256(manifest.path),
            "cuda" if target.type == "cuda" else "cpu",
            build_extractors(folder, description, weights, target),
            proposer,
            captioners,
            ConceptLexicon.read(folder / CONCEPTS, folder / IDF),
        )

    def caption(
        self, video: Path | str, proposals: Sequence[Proposal] | None = None, limits: EventLimits = NO_LIMITS
    ) -> list[EventCaption]:
        """Find and caption the events of a video.

        Args:
            video: any file with a video.
            proposals: times of the events, if they are known.
            limits: how many events are captioned, and of which score.

        Returns:
            the events in time order.

        Raises:
            PipelineError: the video cannot be decoded or has no sound that the model needs.
        """
        path = Path(video)
        check_id(path.stem, path)
        source = VideoSource(path.stem, path)
        options = self.pass_settings()
        for _, result in self.extract([source], options, needs_events=proposals is None):
            if isinstance(result, Rejection):
                raise PipelineError(f"{result.detail} ({result.reason})")
            rows = self.caption_video(result, options, proposals, limits)
        return [EventCaption.from_row(row, self.description.captioners) for row in rows]

    def pass_settings(self, **machine: Any) -> PassSettings:
        """Return the settings of the pass over videos: those of the features, and of the machine.

        Args:
            machine: `workers`, `timeout_s`.
        """
        settings = [feature.settings.root for feature in self.description.features.values()]
        shared = {"tail": settings[0].tail, "batch_size": min(section.batch_size for section in settings)}  # type: ignore[union-attr]
        return PassSettings.parse({**shared, "device": self.device, **machine}, "extract_features")

    def extract(
        self,
        sources: Sequence[VideoSource],
        options: PassSettings,
        *,
        needs_events: bool = True,
        count_rows: RowCounter = lambda _source, _seconds: None,
    ) -> Iterator[tuple[VideoSource, VideoFeatures | Rejection]]:
        """Yield the features of each video, or why it cannot be captioned; each video is decoded once.

        Args:
            sources: the videos.
            options: settings of the pass.
            needs_events: whether events are proposed; otherwise the proposer's features are not extracted.
            count_rows: gets the progress within a video.
        """
        needs = self._needs(needs_events=needs_events)
        names = {name for need in needs for name in need.features}
        extractors = {name: extractor for name, extractor in self.extractors.items() if name in names}
        return extract_videos(sources, extractors, needs, options, count_rows)

    def caption_video(
        self,
        features: VideoFeatures,
        options: PassSettings,
        proposals: Sequence[Proposal] | None = None,
        limits: EventLimits = NO_LIMITS,
    ) -> list[CaptionRow]:
        """Caption a video whose features were extracted; see `caption_features`."""
        with tempfile.TemporaryDirectory(prefix="sa-tsp-") as folder:
            features.write(Path(folder), self.extractors, options)
            return self.caption_features(Path(folder), 1, features.source.video, proposals, limits)

    def caption_features(
        self,
        folder: Path,
        shards: int,
        video: str,
        proposals: Sequence[Proposal] | None = None,
        limits: EventLimits = NO_LIMITS,
    ) -> list[CaptionRow]:
        """Propose, caption and select as the stages of the pipeline do, from features on disk.

        Args:
            folder: folder of all features.
            shards: number of shards of each feature.
            video: id of the video.
            proposals: times of the events; None: the proposer's.
            limits: how many events are captioned, and of which score.

        Returns:
            the captions in time order; none if no proposal is within the limits.

        Raises:
            PipelineError: features are missing, damaged, or of other extractors than in the training.
        """
        if proposals is None:
            proposals = self._propose(folder, shards, video, limits)
        selected = limits.select(proposals)
        if not selected:
            return []
        sequence = EventSequence(video, tuple((proposal.start, proposal.end) for proposal in selected))
        settings = self.description.generate_captions.model_copy(update={"device": self.device})
        external = self.description.external_data.model_dump()
        members = []
        for name, bundle in self.captioners.items():
            cache = StreamCache(bundle.open_features(folder, shards), 0.0)
            sentences = caption_events(bundle, {video: sequence}, cache, settings)[video]
            rows = submission_rows(selected, sentences)
            members.append(Predictions(Path(name), {video: rows}, VERSION, external))
        selection = self.description.select_captions
        names = list(self.captioners) if selection.explain else None
        ensemble = select_captions(members, self.lexicon, selection.criteria, names=names)
        captions: list[CaptionRow] = ensemble.submission["results"][video]
        return captions

    def submission(self, results: dict[str, list[CaptionRow]]) -> dict[str, Any]:
        """Return captions of several videos in the challenge's submission format."""
        return {
            "version": VERSION,
            "results": results,
            "external_data": self.description.external_data.model_dump(),
        }

    def _propose(self, folder: Path, shards: int, video: str, limits: EventLimits) -> list[Proposal]:
        settings = self.description.proposals
        if self.proposer is None or settings is None:
            raise PipelineError(f"{self.folder}: the model has no proposer; give the times of the events (--proposals)")
        if limits.top is not None:
            settings = settings.model_copy(update={"max_proposals": limits.top})
        inputs = open_inputs(self.proposer.open_features(folder, shards), limit_gb=0.0)
        proposer, batch_size = self.proposer.proposer, self.proposer.settings.batch_size
        return propose(proposer, inputs, [video], settings, batch_size)[video]

    def _needs(self, *, needs_events: bool) -> list[FeatureNeed]:
        needs: Iterable[FeatureNeed] = (need for one in self.captioners.values() for need in captioner_needs(one))
        if self.proposer is not None and needs_events:
            needs = [*proposer_needs(self.proposer), *needs]
        return list(needs)


def build_extractors(
    folder: Path, description: ModelDescription, weights: Path, device: torch.device
) -> dict[str, Extractor]:
    """Build the extractor of each feature of a model; see `Model.open`."""
    extractors: dict[str, Extractor] = {}
    for name, feature in description.features.items():
        settings = feature.settings.root
        if isinstance(settings, EncoderFeatureSettings):
            encoder = read_encoder(folder / encoder_part(settings.encoder))
            extractors[name] = VideoEncoderExtractor(
                settings.encoder, encoder, settings.stride, device, snippets=settings.snippets
            )
        else:
            assert isinstance(settings, PublishedFeatureSettings)
            location = find_weights(folder, name, feature, weights)
            extractors[name] = build_extractor(settings.model_copy(update={"weights": location}), device)
    return extractors

"""The proposal generator of the bi-modal transformer as a proposer (Iashin and Rahtu, 2020, section 3.3).

docs/proposals.md lists what differs from the published code.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.bimodal.encoder import STREAMS, TransformerSizes, length_mask
from pipeline.config.proposers import BmtProposerSettings
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureNorm
from pipeline.io.atomic import read_json
from pipeline.localization.bmt.anchors import fit_anchors
from pipeline.localization.bmt.candidates import decode_predictions, select_candidates
from pipeline.localization.bmt.network import BmtProposalNetwork, HeadSizes
from pipeline.localization.bmt.targets import MIN_EVENT_S, RowTimes, StreamLosses, assign_events, compute_stream_losses
from pipeline.localization.nms import Candidates
from pipeline.localization.proposer import EventTimes, ProposerInputs, ProposerLosses
from pipeline.provenance.manifest import Manifest
from pipeline.training.weights import load_parts

CAPTIONER_SIZES = ("hidden", "heads", "layers")
"""Settings of a captioner that must be those of the proposer that takes over its encoder."""


class BmtProposer:
    """The proposer, see `TrainableProposer` and `EncoderBorrower`.

    Args:
        config: settings.
        dims: channels of each stream.
    """

    def __init__(self, config: BmtProposerSettings, dims: Mapping[str, int]) -> None:
        self._config, self._dims = config, dict(dims)
        channels = tuple(config.head_channels)
        heads = {
            "visual": HeadSizes(tuple(config.visual_kernels), channels, config.visual_anchors),
            "audio": HeadSizes(tuple(config.audio_kernels), channels, config.audio_anchors),
        }
        sizes = TransformerSizes(config.hidden, config.heads, config.layers, config.dropout)
        self.network = BmtProposalNetwork(dims, sizes, heads)

    def fit(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> None:
        """Fit the normalisation of both streams, and the anchors to the lengths of all events.

        Raises:
            PipelineError: no video has the features of a stream.
        """
        lengths = np.array([max(end - start, MIN_EVENT_S) for times in events.values() for start, end in times])
        for name in STREAMS:
            stream = inputs.streams[name]
            present = [video for video in events if not stream.is_empty(video)]
            if not present:
                raise PipelineError(
                    f"none of {len(events)} videos has features of the stream {name}; the proposer needs both"
                )
            norm = self.network.feature_norms[name]
            assert isinstance(norm, FeatureNorm)
            norm.fit(stream.features(video) for video in present)
            anchors = self.network.anchors(name)
            anchors.copy_(torch.from_numpy(fit_anchors(lengths, len(anchors))))

    def load_encoder(self, captioner: Manifest) -> None:
        """Load the encoder of a captioner, and the normalisation of its features."""
        saved = read_json(captioner.file("config.json"), "architecture")
        architecture = saved.get("architecture", {})
        if architecture.get("architecture") != "bmt":
            raise PipelineError(f"{captioner.path}: the captioner is no bmt, so that it has no encoder for a proposer")
        expected = {"streams": self._dims} | {name: getattr(self._config, name) for name in CAPTIONER_SIZES}
        actual = {"streams": saved["sizes"]["streams"]} | {name: architecture[name] for name in CAPTIONER_SIZES}
        for name, value in expected.items():
            if actual[name] != value:
                raise PipelineError(
                    f"{captioner.path}: {name} of the captioner is {actual[name]}, of the proposer {value}; give both "
                    "the same settings and features"
                )
        parts = {"encoder": self.network.encoder, "feature_norms": self.network.feature_norms}
        load_parts(captioner.file("model.safetensors"), parts)
        if self._config.encoder is not None and not self._config.encoder.finetune:
            self.network.freeze_encoder()

    def compute_losses(self, inputs: ProposerInputs, events: Mapping[str, EventTimes]) -> ProposerLosses:
        """Compute the losses of a batch of videos. Events of a video are no targets in a stream that it lacks."""
        videos = list(events)
        rows, masks = self._read(inputs, videos)
        predictions = self.network(rows, masks)
        parts: dict[str, Float[Tensor, ""]] = {}
        total = torch.zeros((), device=rows[STREAMS[0]].device)
        for name in STREAMS:
            stream = inputs.streams[name]
            is_empty = [stream.is_empty(video) for video in videos]
            targets = assign_events(
                [() if empty else events[video] for video, empty in zip(videos, is_empty, strict=True)],
                masks[name].sum(1).tolist(),
                RowTimes.of_grid(stream.grid),
                self.network.anchors(name).cpu().double().numpy(),
            )
            mask = masks[name] & ~torch.tensor(is_empty, device=masks[name].device)[:, None]
            losses = compute_stream_losses(predictions[name], targets.to(mask.device), mask)
            total = total + losses.total(self._config.negative_weight)
            parts |= {f"{name}_{part}": value for part, value in _parts(losses).items()}
        return ProposerLosses(total, parts)

    @torch.no_grad()
    def score_candidates(self, inputs: ProposerInputs, videos: Sequence[str], limit: int, /) -> list[Candidates]:
        """Return the `limit` most certain predictions of all heads of both streams, less those that overlap."""
        training = self.network.training
        self.network.eval()
        rows, masks = self._read(inputs, videos)
        predictions = self.network(rows, masks)
        self.network.train(training)
        candidates = []
        for index, video in enumerate(videos):
            decoded = []
            for name in STREAMS:
                stream = inputs.streams[name]
                if not stream.is_empty(video):
                    of_video = predictions[name][index, :, :, masks[name][index]]
                    times = RowTimes.of_grid(stream.grid)
                    decoded.append(decode_predictions(of_video, times, self.network.anchors(name)))
            all_predictions = torch.cat(decoded).cpu().double().numpy()
            candidates.append(select_candidates(all_predictions, inputs.duration(video), limit, self._config.max_tiou))
        return candidates

    def _read(
        self, inputs: ProposerInputs, videos: Sequence[str]
    ) -> tuple[dict[str, Float[Tensor, "videos _ _"]], dict[str, Bool[Tensor, "videos _"]]]:
        """Return the rows of each stream, padded, and their masks."""
        device = next(self.network.parameters()).device
        rows, masks = {}, {}
        for name in STREAMS:
            features = [inputs.streams[name].features(video) for video in videos]
            rows[name] = pad_sequence(features, batch_first=True).to(device)
            masks[name] = length_mask([len(one) for one in features], device)
        return rows, masks


def _parts(losses: StreamLosses) -> dict[str, Float[Tensor, ""]]:
    return {
        "offset": losses.offset,
        "length": losses.length,
        "positive": losses.positive,
        "negative": losses.negative,
    }

"""A trained proposer on disk: weights, settings, metrics and card, listed in a manifest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.proposers import PROPOSERS, ProposerSettings
from pipeline.features.streams import FeatureStreams
from pipeline.localization.network_bundle import REQUIRED, describe_training, read_settings, write_bundle
from pipeline.localization.proposer import TrainableProposer
from pipeline.localization.proposer_training import build_proposer
from pipeline.provenance.manifest import read_manifest
from pipeline.training.training_loop import BestCheckpoint
from pipeline.training.weights import load_weights


@dataclass(frozen=True)
class ProposerBundle:
    """A proposer that was read from disk.

    Attributes:
        proposer: the proposer with its weights, on the CPU, in evaluation mode.
        settings: of the proposer.
        streams: how the features of each stream are combined (`FeatureStreams.metadata`).
        dims: channels of each stream.
    """

    proposer: TrainableProposer
    settings: ProposerSettings
    streams: Mapping[str, Any]
    dims: Mapping[str, int]

    def open_features(self, folder: Path, shards: int) -> FeatureStreams:
        """Open the features that the proposer reads, combined as in its training; see `FeatureStreams.open`."""
        return FeatureStreams.open(folder, self.settings.streams, shards, metadata=self.streams, dims=self.dims)


def save_proposer(
    output: Path,
    proposer: TrainableProposer,
    settings: ProposerSettings,
    features: FeatureStreams,
    checkpoint: BestCheckpoint,
) -> None:
    """Write a proposer beside its manifest, the manifest last; the metrics file is already in the folder.

    Args:
        output: the manifest.
        proposer: the proposer; takes the weights of the checkpoint.
        settings: of the proposer.
        features: that it was trained on.
        checkpoint: the weights to save.
    """
    proposer.network.load_state_dict(checkpoint.weights)
    metadata = describe_training("train_proposer", settings, features, proposer.network, checkpoint)
    write_bundle(output, proposer.network, settings, metadata, _card(metadata))


def load_proposer(manifest_path: Path) -> ProposerBundle:
    """Read a proposer.

    Raises:
        PipelineError: the manifest or a file is absent, damaged, or not of a proposer.
    """
    manifest = read_manifest(manifest_path)
    settings: ProposerSettings = read_settings(manifest, PROPOSERS, REQUIRED)
    dim = manifest.metadata["dim"]
    proposer = build_proposer(settings, dim)
    load_weights(manifest.file("model.safetensors"), proposer.network)
    proposer.network.eval()
    streams, dims = (
        value if len(settings.streams) > 1 else dict.fromkeys(settings.streams, value)
        for value in (manifest.metadata["combination"], dim)
    )
    return ProposerBundle(proposer, settings, streams, dims)


def _card(metadata: Mapping[str, Any]) -> str:
    """Return the model card (Markdown): what the proposer is, how it was trained, and its limits."""
    spec = PROPOSERS[metadata["kind"]]
    values = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in metadata.items())
    return f"""# Event proposer `{spec.name}`

{spec.description[0].upper()}{spec.description[1:]} ({spec.source}). It proposes start and end of the events of an
untrimmed video from its features. The stage `train_proposer` trained it; the weights are those of the last epoch.

{values}

`manifest.provenance.json` records settings, code and inputs; `metrics.jsonl` has one line per epoch.

It finds what the annotators of its corpus called an event, at their granularity; for other videos its scores are not
calibrated.
"""

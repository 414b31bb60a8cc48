"""A trained localizer on disk: weights, settings, metrics and card, listed in a manifest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.feature_combination import DEFAULT_STREAM
from pipeline.config.localizers import LOCALIZERS, LocalizerSettings
from pipeline.features.combined import CombinedFeatures
from pipeline.features.streams import FeatureStreams
from pipeline.localization.localizer import Localizer
from pipeline.localization.localizer_training import build_localizer
from pipeline.localization.network_bundle import (
    REQUIRED,
    describe_training,
    open_trained_features,
    read_settings,
    write_bundle,
)
from pipeline.provenance.manifest import read_manifest
from pipeline.training.training_loop import BestCheckpoint
from pipeline.training.weights import load_weights


@dataclass(frozen=True)
class LocalizerBundle:
    """A localizer that was read from disk.

    Attributes:
        localizer: the localizer with its weights, on the CPU, in evaluation mode.
        settings: of the localizer.
        labels: action classes by index.
        combination: how its features are combined (`CombinedFeatures.metadata`).
        dim: channels of its features.
    """

    localizer: Localizer
    settings: LocalizerSettings
    labels: tuple[str, ...]
    combination: Mapping[str, Any]
    dim: int

    def open_features(self, folder: Path, shards: int) -> CombinedFeatures:
        """Open the features that the localizer reads; see `open_trained_features`."""
        return open_trained_features(folder, shards, self.settings.features, self.combination, self.dim)


def save_localizer(
    output: Path,
    localizer: Localizer,
    settings: LocalizerSettings,
    features: CombinedFeatures,
    labels: list[str],
    checkpoint: BestCheckpoint,
) -> None:
    """Write a localizer beside its manifest, the manifest last; the metrics file is already in the folder.

    Args:
        output: the manifest.
        localizer: the localizer; takes the weights of the checkpoint.
        settings: of the localizer.
        features: that it was trained on.
        labels: action classes by index.
        checkpoint: the weights to save.
    """
    localizer.network.load_state_dict(checkpoint.weights)
    streams = FeatureStreams({DEFAULT_STREAM: features})
    metadata = describe_training("train_localizer", settings, streams, localizer.network, checkpoint)
    metadata |= {"splits": settings.splits, "labels": labels}
    write_bundle(output, localizer.network, settings, metadata, _card(metadata, has_classes=settings.has_classes))


def load_localizer(manifest_path: Path) -> LocalizerBundle:
    """Read a localizer.

    Raises:
        PipelineError: the manifest or a file is absent, damaged, or not of a localizer.
    """
    manifest = read_manifest(manifest_path)
    settings: LocalizerSettings = read_settings(manifest, LOCALIZERS, (*REQUIRED, "labels"))
    labels, dim = tuple(manifest.metadata["labels"]), manifest.metadata["dim"]
    localizer = build_localizer(settings, dim, len(labels))
    load_weights(manifest.file("model.safetensors"), localizer.network)
    localizer.network.eval()
    return LocalizerBundle(localizer, settings, labels, manifest.metadata["combination"], dim)


def _card(metadata: Mapping[str, Any], *, has_classes: bool) -> str:
    """Return the model card (Markdown): what the localizer is, how it was trained, and its limits."""
    spec = LOCALIZERS[metadata["kind"]]
    values = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in metadata.items())
    classes = (
        "It classifies its segments itself."
        if has_classes
        else "It finds segments without classes; a classifier of whole videos names the classes."
    )
    return f"""# Localizer of actions `{spec.name}`

{spec.description[0].upper()}{spec.description[1:]} ({spec.source}). It finds start and end of the actions of an
untrimmed video from its features. {classes} The stage `train_localizer` trained it.

{values}

`manifest.provenance.json` records settings, code and inputs; `metrics.jsonl` has one line per epoch.

It finds what the annotators of its corpus called an action, at their granularity; for other videos its scores are not
calibrated.
"""

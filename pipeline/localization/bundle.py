"""A trained proposer on disk: weights, settings, metrics and card, listed in a manifest."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from pipeline.config.proposers import PROPOSERS, ProposerSettings
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.localization.proposer import TrainableProposer
from pipeline.localization.training import build_proposer
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.training.training_loop import BestCheckpoint
from pipeline.training.weights import load_weights, save_weights

METRICS = "metrics.jsonl"
"""Name of the metrics in the proposer's folder; the training writes it."""
REQUIRED = ("features", "combination", "dim")
"""Metadata without which the features that a proposer was trained on cannot be identified."""


@dataclass(frozen=True)
class ProposerBundle:
    """A proposer that was read from disk.

    Attributes:
        proposer: the proposer with its weights, on the CPU, in evaluation mode.
        settings: of the proposer.
        combination: how its features are combined (`CombinedFeatures.metadata`).
        dim: channels of its features.
    """

    proposer: TrainableProposer
    settings: ProposerSettings
    combination: Mapping[str, Any]
    dim: int

    def open_features(self, folder: Path, shards: int) -> CombinedFeatures:
        """Open the features that the proposer reads, combined as in its training.

        Args:
            folder: folder of all features.
            shards: number of shards.

        Raises:
            PipelineError: the features are absent or damaged, or differ from those of the training in grid, weights or
                number of channels.
        """
        names = self.settings.features
        rules = {key: self.combination[key] for key in ("align", "missing", "expected")}
        features = CombinedFeatures.open(folder, names, shards, **rules)
        if features.dim != self.dim:
            raise PipelineError(
                f"features {'+'.join(names)}: {features.dim} channels, but the proposer was trained on {self.dim}; "
                "extract the features that it was trained on, or train it again"
            )
        return features


def save_proposer(
    output: Path,
    proposer: TrainableProposer,
    settings: ProposerSettings,
    features: CombinedFeatures,
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
    folder = output.parent
    proposer.network.load_state_dict(checkpoint.weights)
    metadata = {
        "stage": "train_proposer",
        "kind": settings.kind,
        "features": settings.features,
        "combination": features.metadata(),
        "grid": asdict(features.grid),
        "dim": features.dim,
        "parameters": sum(parameter.numel() for parameter in proposer.network.parameters()),
        "epoch": checkpoint.epoch,
        "seed": settings.seed,
    }
    if settings.steps_per_epoch is not None:
        metadata["rehearsal"] = f"epochs ended after {settings.steps_per_epoch} steps"
    save_weights(folder / "model.safetensors", proposer.network)
    write_json(folder / "config.json", settings.result_settings())
    write_text(folder / "card.md", _card(metadata))
    names = ("model.safetensors", "config.json", "card.md", METRICS)
    write_manifest(output, [folder / name for name in names], metadata)


def load_proposer(manifest_path: Path) -> ProposerBundle:
    """Read a proposer.

    Raises:
        PipelineError: the manifest or a file is absent, damaged, or not of a proposer.
    """
    manifest = read_manifest(manifest_path)
    missing = [name for name in REQUIRED if name not in manifest.metadata]
    if missing:
        raise PipelineError(f"{manifest_path}: not a proposer manifest: missing {', '.join(missing)}; train it again")
    path = manifest.file("config.json")
    plain = read_json(path, "settings of a proposer")
    kind = plain.get("kind") if isinstance(plain, dict) else None
    if not isinstance(kind, str) or kind not in PROPOSERS:
        raise PipelineError(f"{path}: kind = {kind!r}; expected one of {', '.join(PROPOSERS)}")
    settings = cast("ProposerSettings", PROPOSERS[kind].settings.parse(plain, str(path)))
    dim = manifest.metadata["dim"]
    proposer = build_proposer(settings, dim)
    load_weights(manifest.file("model.safetensors"), proposer.network)
    proposer.network.eval()
    return ProposerBundle(proposer, settings, manifest.metadata["combination"], dim)


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

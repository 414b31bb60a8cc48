"""A trained network of localization on disk, a proposer or a localizer: what both kinds have in common.

Its folder holds weights, settings, metrics and card, listed in a manifest.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import nn

from pipeline.config.registry import Registry, S
from pipeline.errors import PipelineError
from pipeline.features.combined import CombinedFeatures
from pipeline.features.streams import FeatureStreams
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.manifest import Manifest, write_manifest
from pipeline.training.training_loop import BestCheckpoint
from pipeline.training.weights import save_weights

METRICS = "metrics.jsonl"
"""Name of the metrics in the folder; the training writes it."""
REQUIRED = ("features", "combination", "dim")
"""Metadata without which the features that a network was trained on cannot be identified."""


@runtime_checkable
class NetworkSettings(Protocol):
    """What the settings of proposers and localizers have in common."""

    @property
    def kind(self) -> str:
        """Name in the registry."""

    @property
    def features(self) -> list[str] | dict[str, list[str]]:
        """Features that the network reads."""

    @property
    def seed(self) -> int:
        """Seed of the training."""

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps after which a rehearsal ends an epoch; None in a real training."""

    def result_settings(self) -> dict[str, Any]:
        """Return the settings that decide the result."""


def describe_training(
    stage: str,
    settings: NetworkSettings,
    features: FeatureStreams,
    network: nn.Module,
    checkpoint: BestCheckpoint,
) -> dict[str, Any]:
    """Return the metadata of a trained network: what it is, what it read, and which epoch it is of."""
    metadata: dict[str, Any] = {
        "stage": stage,
        "kind": settings.kind,
        "features": settings.features,
        "combination": features.combination,
        "grid": features.grid,
        "dim": features.dim,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epoch": checkpoint.epoch,
        "seed": settings.seed,
    }
    if settings.steps_per_epoch is not None:
        metadata["rehearsal"] = f"epochs ended after {settings.steps_per_epoch} steps"
    return metadata


def write_bundle(
    output: Path,
    network: nn.Module,
    settings: NetworkSettings,
    metadata: dict[str, Any],
    card: str,
) -> None:
    """Write weights, settings, card and, last, the manifest, which lists the metrics in the same folder, too."""
    folder = output.parent
    save_weights(folder / "model.safetensors", network)
    write_json(folder / "config.json", settings.result_settings())
    write_text(folder / "card.md", card)
    names = ("model.safetensors", "config.json", "card.md", METRICS)
    write_manifest(output, [folder / name for name in names], metadata)


def read_settings(manifest: Manifest, registry: Registry[S], required: Sequence[str]) -> Any:
    """Read the settings of a trained network, which are those of an entry of a registry.

    Args:
        manifest: of the network.
        registry: the kinds of such networks.
        required: metadata that the manifest must have.

    Raises:
        PipelineError: the manifest is of something else, the settings are damaged, or their kind does not exist.
    """
    missing = [name for name in required if name not in manifest.metadata]
    if missing:
        raise PipelineError(
            f"{manifest.path}: not a {registry.kind} manifest: missing {', '.join(missing)}; train it again"
        )
    path = manifest.file("config.json")
    plain = read_json(path, f"settings of a {registry.kind}")
    kind = plain.get("kind") if isinstance(plain, dict) else None
    if not isinstance(kind, str) or kind not in registry:
        raise PipelineError(f"{path}: kind = {kind!r}; expected one of {', '.join(registry)}")
    return registry[kind].settings.parse(plain, str(path))


def open_trained_features(
    folder: Path, shards: int, names: list[str], combination: Mapping[str, Any], dim: int
) -> CombinedFeatures:
    """Open features, combined as in the training of a network.

    Args:
        folder: folder of all features.
        shards: number of shards.
        names: the features.
        combination: how they were combined (`CombinedFeatures.metadata`).
        dim: channels that the network reads.

    Raises:
        PipelineError: the features are absent or damaged, or differ from those of the training in grid, weights or
            number of channels.
    """
    rules = {key: combination[key] for key in ("align", "missing", "expected")}
    features = CombinedFeatures.open(folder, names, shards, **rules)
    if features.dim != dim:
        raise PipelineError(
            f"features {'+'.join(names)}: {features.dim} channels, but the network was trained on {dim}; extract the "
            "features that it was trained on, or train it again"
        )
    return features

"""A trained captioner as a folder: weights, architecture, vocabulary, metrics and card, listed in a manifest."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pipeline.captioning.attributes.attribute_list import AttributeList
from pipeline.captioning.base import Captioner, CaptionerSizes, WordVectorsNote
from pipeline.config.captioners import CAPTIONERS
from pipeline.config.feature_combination import name_streams
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError, nearest
from pipeline.features.streams import FeatureStreams
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.manifest import Manifest, read_manifest, write_manifest
from pipeline.training.training_loop import BestCheckpoint
from pipeline.training.weights import load_weights, save_weights

METRICS = "metrics.jsonl"
"""Name of the file of metrics in the captioner's folder; training writes it."""
ATTRIBUTES = "attributes.json"
"""Name of the file of attributes in the folder of a captioner that predicts some."""
REQUIRED = ("vocabulary", "features", "combination", "epoch")
"""Metadata without which features and vocabulary cannot be compared with those of the training."""


@dataclass(frozen=True)
class CaptionerBundle:
    """A trained captioner.

    Attributes:
        captioner: the captioner with its weights, on the CPU, in evaluation mode.
        vocabulary: the words of its ids.
        vocabulary_path: the vocabulary's file.
        features: names of the features that it reads, as in the config: a list, or a list for each stream.
        combination: how it reads the features of each stream (`FeatureStreams.metadata`).
        epoch: the selected epoch.
        word_vectors: what the card says about word vectors.
        attributes: the attributes that it predicts; None: none.
    """

    captioner: Captioner
    vocabulary: Vocabulary
    vocabulary_path: Path
    features: list[str] | dict[str, list[str]]
    combination: Mapping[str, Any]
    epoch: int
    word_vectors: WordVectorsNote
    attributes: AttributeList | None = None

    def open_features(self, folder: Path, shards: int) -> FeatureStreams:
        """Open the features that the captioner reads, combined as in its training.

        Args:
            folder: folder of all features.
            shards: number of shards of each feature.

        Raises:
            PipelineError: features are absent or damaged; or they have another time grid, other weights or another
                number of channels than those of the training.
        """
        return FeatureStreams.open(
            folder,
            name_streams(self.features),
            shards,
            metadata=self.combination,
            dims=self.captioner.sizes.streams,
        )


def save_captioner(
    output: Path,
    captioner: Captioner,
    vocabulary_path: Path,
    checkpoint: BestCheckpoint,
    metadata: dict[str, Any],
    attributes: AttributeList | None = None,
) -> None:
    """Write a captioner into the folder of its manifest. The manifest is written last; the metrics exist already.

    Args:
        output: the manifest.
        captioner: receives the weights of the checkpoint.
        vocabulary_path: the vocabulary it was trained with; copied.
        checkpoint: the selected weights.
        metadata: `stage`, `features`, `combination`, `seed`, and what else the card should list.
        attributes: the attributes that it predicts; None: none.
    """
    folder = output.parent
    captioner.load_state_dict(checkpoint.weights)
    metadata = metadata | {
        "architecture": captioner.settings.model_dump(mode="json"),
        "sizes": asdict(captioner.sizes),
        "vocabulary": Vocabulary.read(vocabulary_path).digest,
        "parameters": count_parameters(captioner),
        "epoch": checkpoint.epoch,
        "meteor": checkpoint.score,
    }
    save_weights(folder / "model.safetensors", captioner)
    write_json(folder / "config.json", {"architecture": metadata["architecture"], "sizes": metadata["sizes"]})
    write_json(folder / "vocabulary.json", read_json(vocabulary_path, "vocabulary"))
    write_text(folder / "card.md", build_card(metadata))
    names = ["model.safetensors", "config.json", "vocabulary.json", "card.md", METRICS]
    if attributes is not None:
        attributes.write(folder / ATTRIBUTES)
        names.append(ATTRIBUTES)
    write_manifest(output, [folder / name for name in names], metadata)


def load_captioner(path: Path) -> CaptionerBundle:
    """Read a captioner.

    Args:
        path: its manifest.

    Raises:
        PipelineError: a file is absent or damaged, or the files are of different trainings.
    """
    manifest = read_manifest(path)
    missing = [name for name in REQUIRED if name not in manifest.metadata]
    if missing:
        raise PipelineError(
            f"{path}: not a captioner manifest: missing {', '.join(missing)}; train the captioner again"
        )
    vocabulary_path = manifest.file("vocabulary.json")
    vocabulary = Vocabulary.read(vocabulary_path)
    captioner = _build(manifest.file("config.json"))
    _check_vocabulary(manifest, vocabulary, captioner.sizes.vocabulary)
    load_weights(manifest.file("model.safetensors"), captioner)
    captioner.eval()
    return CaptionerBundle(
        captioner,
        vocabulary,
        vocabulary_path,
        manifest.metadata["features"],
        manifest.metadata["combination"],
        manifest.metadata["epoch"],
        manifest.metadata.get("word_vectors"),
        _read_attributes(manifest, captioner.sizes.attributes),
    )


def _read_attributes(manifest: Manifest, count: int) -> AttributeList | None:
    if not count:
        return None
    attributes = AttributeList.read(manifest.file(ATTRIBUTES))
    if len(attributes.words) != count:
        raise PipelineError(
            f"{manifest.path}: {ATTRIBUTES} has {len(attributes.words)} attributes, the captioner predicts {count}; "
            "train the captioner again"
        )
    return attributes


def _build(path: Path) -> Captioner:
    """Build the captioner that a config.json describes, without its weights."""
    saved = read_json(path, "architecture")
    try:
        sizes, architecture = CaptionerSizes(**saved["sizes"]), saved["architecture"]
        name = architecture["architecture"]
    except (KeyError, TypeError) as error:
        raise PipelineError(f"{path}: not the architecture of a captioner ({error!r}); train it again") from None
    if name not in CAPTIONERS:
        raise PipelineError(f"{path}: no captioner {name!r}{nearest(str(name), CAPTIONERS)}")
    settings = CAPTIONERS[name].settings.parse(architecture, f"{path}: architecture")
    captioner: Captioner = CAPTIONERS[name].load()(sizes, settings)
    return captioner


def _check_vocabulary(manifest: Manifest, vocabulary: Vocabulary, size: int) -> None:
    digest = manifest.metadata["vocabulary"]
    if (vocabulary.digest, vocabulary.size) != (digest, size):
        raise PipelineError(
            f"{manifest.path}: vocabulary.json (digest {vocabulary.digest}, {vocabulary.size} ids) is not the "
            f"vocabulary of the training (digest {digest}, {size} ids); train the captioner again"
        )


def rehearsal_note(steps_per_epoch: int | None) -> dict[str, str]:
    """Return metadata that marks a training with shortened epochs; none for a full training."""
    return {} if steps_per_epoch is None else {"rehearsal": f"epochs ended after {steps_per_epoch} steps"}


def word_vectors_note(note: WordVectorsNote) -> dict[str, WordVectorsNote]:
    """Return metadata about word vectors; none for a captioner that knows no word vectors."""
    return {} if note is None else {"word_vectors": note}


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def build_card(metadata: dict[str, Any]) -> str:
    """Return the model card: what the captioner is, how it was trained, what it is for."""
    spec = CAPTIONERS[metadata["architecture"]["architecture"]]
    facts = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in metadata.items())
    selection = (
        f"best METEOR on `val` ({100 * metadata['meteor']:.2f} of 100, mean over events at their annotated times)"
        if metadata["meteor"] is not None
        else "last epoch"
    )
    return f"""# Captioner {spec.name}

Captions the events of an untrimmed video from its features: {spec.description}.
Trained by the stage `{metadata["stage"]}`; selected epoch: {selection}.

{facts}

Settings, code and inputs are recorded in `manifest.provenance.json`; `metrics.jsonl` has one line per epoch.

The captioner describes what its training corpus describes, in that corpus's words, whatever a video shows. Do not
take its sentences for facts about people.
"""

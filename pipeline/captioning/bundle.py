"""A trained captioner on disk: weights, architecture, vocabulary, metrics, card, and their manifest."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.captioning.registry import name_of, named
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.io.atomic import read_json, write_json, write_text
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.training.trainer import Selected
from pipeline.training.weights import load_weights, save_weights

METRICS = "metrics.jsonl"
"""Name of the metrics within the captioner's folder; training writes it."""
NEEDED = ("vocabulary", "features", "combination", "epoch")
"""Facts without which nobody can tell whether features and words are those that a captioner was trained with."""


@dataclass(frozen=True)
class Trained:
    """A captioner that was read.

    Attributes:
        captioner: with its weights, on the CPU, not in training mode.
        vocabulary: what its ids mean.
        words: the vocabulary's file.
        features: names of the clip features it reads, in the order of its channels.
        combination: how it reads them (`Features.facts`).
        epoch: that was selected.
    """

    captioner: Captioner
    vocabulary: Vocabulary
    words: Path
    features: list[str]
    combination: Mapping[str, Any]
    epoch: int

    def open(self, folder: Path, shards: int) -> Features:
        """Open the features it reads, combined as it was trained on them.

        Args:
            folder: of all features.
            shards: how many there are of each.

        Raises:
            PipelineError: absent or damaged; on another time grid, of other weights, or of another number of channels
                than those it was trained on.
        """
        rules = {key: self.combination[key] for key in ("align", "missing", "expected")}
        features = Features.open(folder, self.features, shards, **rules)
        dim = self.captioner.architecture.dim
        if features.dim != dim:
            raise PipelineError(
                f"features {'+'.join(self.features)}: {features.dim} channels, the captioner was trained "
                f"on {dim}; extract the features it was trained on, or train it again"
            )
        return features


def save_captioner(
    output: Path, captioner: Captioner, vocabulary: Path, selected: Selected, facts: dict[str, Any]
) -> None:
    """Write a captioner beside its manifest `output`, which comes last; its metrics stand there already.

    Args:
        output: the manifest.
        captioner: takes the selected weights.
        vocabulary: the vocabulary file it was trained with; copied.
        selected: what is kept.
        facts: `stage`, `features`, `combination` and `seed`, and whatever else the card is to tell.
    """
    folder = output.parent
    captioner.load_state_dict(selected.weights)
    known = Vocabulary.read(vocabulary)
    facts = facts | {
        "architecture": asdict(captioner.architecture),
        "vocabulary": known.digest,
        "parameters": parameters(captioner),
        "epoch": selected.epoch,
        "meteor": selected.score,
    }
    save_weights(folder / "model.safetensors", captioner)
    write_json(folder / "config.json", {"name": name_of(captioner), **asdict(captioner.architecture)})
    write_json(folder / "vocabulary.json", read_json(vocabulary, "vocabulary"))
    write_text(folder / "card.md", card(facts))
    names = ("model.safetensors", "config.json", "vocabulary.json", "card.md", METRICS)
    write_manifest(output, [folder / name for name in names], facts)


def load_captioner(manifest: Path) -> Trained:
    """Read a captioner back.

    Raises:
        PipelineError: absent, damaged, or with parts of different runs.
    """
    found = read_manifest(manifest)
    unsaid = [name for name in NEEDED if name not in found.facts]
    if unsaid:
        raise PipelineError(f"{manifest}: no captioner, its facts lack {', '.join(unsaid)}; train it again")
    vocabulary = Vocabulary.read(found.payload("vocabulary.json"))
    path = found.payload("config.json")
    told = read_json(path, "architecture")
    try:
        kind = named(told.pop("name"))
        architecture = Architecture(**told)
    except (AttributeError, KeyError, TypeError) as error:
        raise PipelineError(f"{path}: not the architecture of an event captioner ({error})") from None
    if (vocabulary.digest, vocabulary.size) != (found.facts["vocabulary"], architecture.vocabulary):
        raise PipelineError(
            f"{manifest}: the vocabulary beside it (digest {vocabulary.digest}, {vocabulary.size} ids) is "
            f"not the one it was trained with ({found.facts['vocabulary']}, {architecture.vocabulary} ids); "
            "train it again"
        )
    captioner = kind(architecture)
    load_weights(found.payload("model.safetensors"), captioner)
    captioner.eval()
    return Trained(
        captioner,
        vocabulary,
        found.payload("vocabulary.json"),
        found.facts["features"],
        found.facts["combination"],
        found.facts["epoch"],
    )


def cut_short(steps: int | None) -> dict[str, str]:
    """What a card says of epochs that ended early, nothing where they did not."""
    return {} if steps is None else {"rehearsal": f"epochs ended after {steps} steps"}


def parameters(module: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in module.parameters())


def _built(architecture: dict[str, Any]) -> str:
    parts = {"relations": "events related by self-attention", "context": "one after another, a sentence LSTM over them"}
    return "".join(f", {text}" for key, text in parts.items() if architecture[key])


def card(facts: dict[str, Any]) -> str:
    """The model card: what the captioner is, what it was made with, what it is good for and what not."""
    told = "\n".join(f"- {name}: {json.dumps(value)}" for name, value in facts.items())
    chosen = (
        f"the best METEOR on `val` ({100 * facts['meteor']:.2f} of 100, mean over events at their true times)"
        if facts["meteor"] is not None
        else "the last epoch"
    )
    return f"""# Event captioner

Words the events of an untrimmed video from clip features{_built(facts["architecture"])}: a word LSTM with attention
over each event's clips. Made by the stage `{facts["stage"]}`; kept is {chosen}.

{told}

How it was made (settings, code, inputs) stands in `manifest.provenance.json`; `metrics.jsonl` has a line for
each epoch.

It describes what the corpus it was trained on describes, in that corpus's words, whatever a video shows; do
not take its sentences for facts about people.
"""

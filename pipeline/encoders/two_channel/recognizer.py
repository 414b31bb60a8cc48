"""A trained two-channel network: its files, and what it says of clips."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.datasets.caption_tokens import CaptionTokens
from pipeline.encoders.two_channel.network import TwoChannelNetwork
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, write_json
from pipeline.provenance.manifest import read_manifest
from pipeline.training.weights import load_weights, save_weights

WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"
KEYS = {"train_recognizer", "classes", "words", "length"}


@dataclass(frozen=True)
class Recognizer:
    """A trained network.

    Attributes:
        network: on the CPU, in evaluation mode.
        config: settings of the training.
        classes: names of the classes or groups, by id; empty without a classifier.
        tokens: vocabulary of the captions; None without a decoder.
        weights_sha256: sha256 of the weight file.
    """

    network: TwoChannelNetwork
    config: RecognizerEntry
    classes: list[str]
    tokens: CaptionTokens | None
    weights_sha256: str


HE_FACTOR = math.sqrt(6)
"""PyTorch draws the weights of a linear layer up to 1 / sqrt(inputs); before a ReLU, He et al. (2015) have sqrt(6)."""


@torch.no_grad()
def build_network(config: RecognizerEntry, classes: list[str], tokens: CaptionTokens | None) -> TwoChannelNetwork:
    """Build the network with the random weights of torch's generator."""
    vocabulary = tokens.size if tokens else 0
    network = TwoChannelNetwork(config.widths, len(classes), vocabulary, config.pooling, batchnorm=config.batchnorm)
    if config.initialization == "he":
        network.encoder.fc.weight *= HE_FACTOR
        if network.decoder is not None:
            network.decoder.mapping.weight *= HE_FACTOR
    return network


def write_recognizer(
    folder: Path, network: TwoChannelNetwork, config: RecognizerEntry, classes: list[str], tokens: CaptionTokens | None
) -> list[Path]:
    """Write model.safetensors and config.json.

    Args:
        folder: folder of the files.
        network: with its weights.
        config: settings of the training.
        classes: names of the classes, by id.
        tokens: vocabulary of the captions.

    Returns:
        the files.
    """
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    save_weights(weights, network)
    words: dict[str, Any] = {"words": list(tokens.words), "length": tokens.length} if tokens else {}
    settings = {"train_recognizer": config.model_dump(mode="json"), "classes": classes}
    write_json(description, {**settings, "words": words.get("words"), "length": words.get("length")})
    return [weights, description]


def read_recognizer(manifest: Path) -> Recognizer:
    """Read the recognizer that a manifest lists.

    Raises:
        PipelineError: a file is absent, damaged, or not of `write_recognizer`.
    """
    listed = read_manifest(manifest)
    path = listed.file(DESCRIPTION)
    description: Any = read_json(path, "description of a recognizer")
    if not isinstance(description, dict) or set(description) != KEYS:
        raise PipelineError(f"{path}: not the description of a recognizer; train it again")
    config = RecognizerEntry.parse(description["train_recognizer"], "train_recognizer")
    words = description["words"]
    tokens = None if words is None else CaptionTokens(tuple(words), description["length"])
    with torch.random.fork_rng(devices=[]):
        network = build_network(config, description["classes"], tokens)
    load_weights(listed.file(WEIGHTS), network)
    sha256 = listed.files[WEIGHTS]["sha256"]
    return Recognizer(network.eval(), config, description["classes"], tokens, sha256)

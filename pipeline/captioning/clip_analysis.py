"""Analyses of a captioner of clips: encoded clips, predicted attributes, embeddings, captions from fewer frames."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from pipeline.captioning.attributes.attribute_list import AttributeList
from pipeline.captioning.attributes.captioner import AttributeCaptioner
from pipeline.captioning.bundle import CaptionerBundle
from pipeline.captioning.generation import caption_events
from pipeline.captioning.streams import EventSequence, StreamCache
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.datasets.vocabulary import NUM_SPECIAL
from pipeline.errors import PipelineError
from pipeline.evaluation.attributes import label_attributes, rank_attributes, score_attributes
from pipeline.features.cache import batches
from pipeline.training.device import resolve_device

TSNE_OPTIONS = {"n_components": 2, "init": "random", "learning_rate": 200.0, "random_state": 0}
"""The authors' options: their defaults of 2021, which newer versions of scikit-learn have changed."""
PERPLEXITY = 30.0


@dataclass(frozen=True)
class EncodedClips:
    """Clips as a captioner encodes them.

    Attributes:
        features: mean of the encoded feature rows of each clip.
        attributes: probability of each attribute; None if the captioner predicts none.
    """

    features: Float[np.ndarray, "clips hidden"]
    attributes: Float[np.ndarray, "clips attributes"] | None


@torch.no_grad()
def encode_clips(
    bundle: CaptionerBundle, clips: Sequence[EventSequence], cache: StreamCache, config: GenerateCaptions
) -> EncodedClips:
    """Encode clips, each a video with one event, and predict their attributes.

    Raises:
        PipelineError: the captioner does not encode feature rows one by one.
    """
    captioner = bundle.captioner
    if not isinstance(captioner, AttributeCaptioner):
        raise PipelineError(
            f"captioner {captioner.settings.architecture} has no encoded feature rows to analyse; use a captioner of "
            "clips: transformer, topdown, arb, nacf"
        )
    device = resolve_device(config.device)
    captioner.to(device)
    predicts = captioner.attributes is not None and captioner.attributes.settings.visual
    features, attributes = [], []
    for group in batches(list(clips), config.batch_videos):
        batch = cache.collate(group).to(device)
        features.append(captioner.visual_instances(captioner.encode(batch)).mean().cpu().double().numpy())
        if predicts:
            attributes.append(captioner.predict_attributes(batch).cpu().double().numpy())
    return EncodedClips(np.concatenate(features), np.concatenate(attributes) if predicts else None)


def describe_attributes(
    probabilities: Float[np.ndarray, "clips attributes"], attributes: AttributeList, count: int
) -> list[list[tuple[str, float]]]:
    """Return the most probable attributes of each clip, the most probable one first."""
    order = rank_attributes(probabilities)[:, :count]
    return [
        [(attributes.words[index], float(row[index])) for index in indices]
        for row, indices in zip(probabilities, order, strict=True)
    ]


def score_predicted_attributes(
    bundle: CaptionerBundle, probabilities: Float[np.ndarray, "clips attributes"], captions: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Score attributes against the words of all captions of each clip.

    Returns:
        the scores; `by_frequency` has those of the most frequent attributes of the training, the same for all clips.
    """
    assert bundle.attributes is not None
    words = [[bundle.vocabulary.split(caption) for caption in of_clip] for of_clip in captions]
    labels = label_attributes(words, bundle.attributes.words)
    equal = np.zeros_like(probabilities)  # of equal ones, the more frequent attribute ranks first
    return {**score_attributes(probabilities, labels), "by_frequency": score_attributes(equal, labels)}


def caption_from_frames(
    bundle: CaptionerBundle,
    clips: Mapping[str, EventSequence],
    cache: StreamCache,
    config: GenerateCaptions,
    frames: int,
) -> dict[str, str]:
    """Caption clips from fewer feature rows than the captioner usually reads.

    Raises:
        PipelineError: the captioner has no setting `max_rows`.
    """
    captioner = bundle.captioner
    settings = captioner.settings
    if "max_rows" not in type(settings).model_fields:
        raise PipelineError(
            f"config: analyze_clips.frames: captioner {settings.architecture} has no max_rows; give frames: []"
        )
    captioner.settings = settings.model_copy(update={"max_rows": frames})
    try:
        sentences = caption_events(bundle, clips, cache, config)
    finally:
        captioner.settings = settings
    return {clip: sentence for clip, [(sentence, _)] in sentences.items()}


def map_attributes(bundle: CaptionerBundle) -> dict[str, Any]:
    """Map the embeddings of the attributes to a plane by t-SNE (van der Maaten and Hinton, 2008).

    Returns:
        words, x, y.

    Raises:
        PipelineError: scikit-learn is not installed, or the captioner has no attributes or no embedding of its words.
    """
    if bundle.attributes is None:
        raise PipelineError("config: analyze_clips.attribute_map: the captioner was trained without attributes")
    try:
        manifold = importlib.import_module("sklearn.manifold")
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"config: analyze_clips.attribute_map needs scikit-learn ({error}): pip install scikit-learn"
        ) from None
    vectors = _embed_words(bundle, bundle.attributes.words)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    positions = manifold.TSNE(**TSNE_OPTIONS, perplexity=perplexity).fit_transform(vectors)
    x, y = positions.astype(np.float64).T.tolist()
    return {"words": list(bundle.attributes.words), "x": x, "y": y}


def _embed_words(bundle: CaptionerBundle, words: Sequence[str]) -> Float[np.ndarray, "words hidden"]:
    """Return the captioner's embeddings of words."""
    size = bundle.vocabulary.size
    embeddings = (module for module in bundle.captioner.modules() if isinstance(module, nn.Embedding))
    embedding = next((module for module in embeddings if module.num_embeddings >= size), None)
    if embedding is None:
        raise PipelineError("config: analyze_clips.attribute_map: the captioner embeds no words")
    ids = {word: index for index, word in enumerate(bundle.vocabulary.words, start=NUM_SPECIAL)}
    vectors: Float[np.ndarray, "words hidden"] = embedding.weight[[ids[word] for word in words]].detach().cpu().numpy()
    return vectors

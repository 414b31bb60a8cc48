"""Captions of the events of videos by one trained captioner: decoding as the settings say, rows of the submission."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.captioning.base import DecodingStrategy
from pipeline.captioning.bundle import CaptionerBundle
from pipeline.captioning.captions import Captions, DecodingConstraints
from pipeline.captioning.decoding import BeamSearch, Greedy, Sampling
from pipeline.captioning.streams import EventBatch, EventSequence, StreamCache
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.features.cache import batches
from pipeline.io.progress import Progress
from pipeline.localization.proposals import Proposal
from pipeline.training.device import resolve_device
from pipeline.training.seeds import numpy_generator

SAMPLING = "generate_captions"
"""Part of the seed of sampled captions."""

ScoredSentence = tuple[str, float]
"""A caption and its log-probability."""


def caption_events(
    bundle: CaptionerBundle, sequences: Mapping[str, EventSequence], cache: StreamCache, config: GenerateCaptions
) -> dict[str, list[ScoredSentence]]:
    """Caption events.

    Args:
        bundle: the captioner.
        sequences: event sequences by the captioned video; their features may be those of another video.
        cache: the features.
        config: the section.

    Returns:
        for each video a sentence and its log-probability for each of its events.
    """
    device = resolve_device(config.device)
    bundle.captioner.to(device)
    sentences: dict[str, list[ScoredSentence]] = {}
    progress = Progress("videos", len(sequences))
    for group in batches(list(sequences), config.batch_videos):
        num_events = {video: len(sequences[video].times) for video in group}
        batch = cache.collate([sequences[video] for video in group]).to(device)
        captions = decode(bundle, batch, num_events, config)
        decoded = [bundle.vocabulary.decode(ids) for ids in captions.word_ids()]
        scored = iter(zip(decoded, captions.log_probs.sum(1).tolist(), strict=True))
        for video, count in num_events.items():
            sentences[video] = [next(scored) for _ in range(count)]
        progress.step(len(group))
    return sentences


@torch.no_grad()
def decode(
    bundle: CaptionerBundle, batch: EventBatch, num_events: Mapping[str, int], config: GenerateCaptions
) -> Captions:
    """Caption a batch as the section says.

    Args:
        bundle: the captioner, on the batch's device.
        batch: the events.
        num_events: number of events of each video, in the order of the batch. What is sampled for a video depends only
            on its id and the seed.
        config: the section.
    """
    constraints = DecodingConstraints.from_vocabulary(bundle.vocabulary, config.block_ngrams)
    strategy: DecodingStrategy = Greedy()
    if config.decoding == "beam":
        strategy = BeamSearch(config.beam, config.length_power)
    elif config.decoding == "sample":
        max_words = bundle.captioner.sizes.max_words
        draws = [
            numpy_generator(SAMPLING, config.seed, video).random((count, max_words))
            for video, count in num_events.items()
        ]
        device = batch.sequence_index.device
        strategy = Sampling(config.temperature, torch.tensor(np.concatenate(draws)).to(device))
    return bundle.captioner.generate(batch, strategy, constraints)


def submission_rows(proposals: Sequence[Proposal], sentences: Sequence[ScoredSentence]) -> list[dict[str, Any]]:
    """Return the captions of one video in the submission format."""
    return [
        {
            "sentence": sentence,
            "timestamp": [proposal.start, proposal.end],
            "proposal_score": proposal.score,
            "log_prob": log_prob,
        }
        for proposal, (sentence, log_prob) in zip(proposals, sentences, strict=True)
    ]

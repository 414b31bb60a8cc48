"""Captions of a video read as one paragraph (PDVC's protocol; Park et al., CVPR 2019, section 4).

All captions of a video, in time order, against the paragraph of every annotator; letters only, lower case. The scores
are those of the whole set as one corpus, not a mean over videos: CIDEr's document frequencies run over all videos, and
METEOR takes for each video the annotator that scores best. A video without captions is an empty paragraph.
"""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from pipeline.metrics.bleu import bleu
from pipeline.metrics.cider import cider
from pipeline.metrics.diversity import diversity
from pipeline.metrics.events import NOTHING, ByVideo, Events
from pipeline.metrics.meteor import Scorer, aggregate, scores
from pipeline.metrics.rouge import rouge_l
from pipeline.metrics.tokenizer import tokenize_documents


def paragraph(events: Events) -> str:
    """The sentences in order of their start, one after the other; what is no letter becomes a space."""
    order = np.argsort(events.times[:, 0], kind="stable")
    return re.sub("[^a-z]", " ", ". ".join(events.sentences[index] for index in order).lower())


def score_paragraphs(
    predictions: ByVideo, references: Sequence[ByVideo], meteor: Scorer, timeout_s: float
) -> dict[str, Any]:
    """Score every video of the references.

    Args:
        predictions: captions of each video.
        references: by each annotator.
        meteor: counts METEOR's statistics.
        timeout_s: for the tokenizer, seconds.

    Returns:
        METEOR, CIDEr, Bleu_1 to Bleu_4, ROUGE_L: fractions; diversity of the paragraphs; n_videos,
        n_predicted_videos, n_missing_videos.
    """
    videos = sorted(set().union(*references))
    said = [paragraph(predictions.get(video, NOTHING)) for video in videos]
    known = [[paragraph(reference[video]) for reference in references if video in reference] for video in videos]
    alone = [[text] for one, several in zip(said, known, strict=True) for text in (one, *several)]
    tokens = (text for (text,) in tokenize_documents(alone, timeout_s))
    samples = [(next(tokens), tuple(islice(tokens, len(several)))) for several in known]

    statistics = meteor.statistics([(caption, one) for caption, several in samples for one in several])
    value, best, start = scores(statistics), [], 0
    for _, several in samples:
        best.append(start + int(np.argmax(value[start : start + len(several)])))
        start += len(several)
    predicted = sum(bool(predictions.get(video, NOTHING).sentences) for video in videos)
    return {
        "METEOR": aggregate(statistics[best]),
        "CIDEr": float(cider([samples])[0]),
        **{f"Bleu_{order}": float(one) for order, one in enumerate(bleu([samples])[0], 1)},
        "ROUGE_L": float(rouge_l([samples])[0]),
        "diversity": diversity({video: [caption] for video, (caption, _) in zip(videos, samples, strict=True)}, None),
        "n_videos": len(videos),
        "n_predicted_videos": predicted,
        "n_missing_videos": len(videos) - predicted,
    }

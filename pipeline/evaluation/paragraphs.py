"""Captions of a video scored as one paragraph (PDVC's protocol; Park et al., CVPR 2019, section 4).

All captions of a video, in time order, are scored against the paragraph of each annotator; letters only, lower case.
The scores are those of the whole set as one corpus, not a mean over videos: CIDEr's document frequencies run over all
videos, and METEOR takes for each video the annotator that scores best. A video without captions is an empty paragraph.
"""

import logging
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.bleu import bleu
from pipeline.evaluation.cider import SINGLE_PAIR, cider, cider_per_caption
from pipeline.evaluation.diversity import diversity
from pipeline.evaluation.matching import (
    EventsByVideo,
    VideoEvents,
    collect_references,
    find_unknown_videos,
    truncate_captions,
    warn_missing_videos,
)
from pipeline.evaluation.meteor import MeteorScorer, aggregate, best_references, meteor_scores
from pipeline.evaluation.rouge import rouge_l
from pipeline.evaluation.tokenizer import tokenize_documents

ONE_PARAGRAPH = f"CIDEr is 0, whatever the captions: the set is a single video. {SINGLE_PAIR}"


def join_paragraph(events: VideoEvents) -> str:
    """Join the sentences in order of their start; replace everything but letters by spaces."""
    return re.sub("[^a-z]", " ", ". ".join(events.sort_by_start().sentences).lower())


def score_paragraphs(
    predictions: EventsByVideo, references: Sequence[EventsByVideo], meteor: MeteorScorer, settings: Evaluate
) -> dict[str, Any]:
    """Score every video of the references.

    Args:
        predictions: captions of each video.
        references: references of each video, by annotator.
        meteor: computes METEOR's statistics.
        settings: how many captions of a video count.

    Returns:
        METEOR, CIDEr (0 to 10), Bleu_1 to Bleu_4, ROUGE_L of the set; diversity of the paragraphs; n_videos,
        n_predicted_videos, n_missing_videos, n_ignored_captions, n_unknown_videos; notes, if there are any; per_video,
        a table of the scores of each paragraph on its own (CIDEr with the set's document frequencies). The set's CIDEr
        and ROUGE_L are the means of that table; its METEOR and BLEU are not.

    Raises:
        PipelineError: there are no reference videos, or one has no events.
    """
    videos = collect_references(references)
    captions, num_ignored = truncate_captions(predictions, videos, settings.max_proposals)
    samples = _tokenize(captions, list(videos.values()), settings.timeout_s)
    statistics = meteor.statistics([(caption, text) for caption, texts in samples for text in texts])
    values = meteor_scores(statistics)
    best = best_references(values, [len(texts) for _, texts in samples])
    per_sample = [[sample] for sample in samples]
    missing = [video for video, events in zip(videos, captions, strict=True) if not events.sentences]
    warn_missing_videos(missing, len(videos))
    if len(videos) == 1:
        logging.warning("%s", ONE_PARAGRAPH)
    return {
        "METEOR": aggregate(statistics[best]),
        "CIDEr": float(cider([samples])[0]),
        **{f"Bleu_{order}": float(value) for order, value in enumerate(bleu([samples])[0], 1)},
        "ROUGE_L": float(rouge_l([samples])[0]),
        "diversity": diversity({video: [caption] for video, (caption, _) in zip(videos, samples, strict=True)}, None),
        "n_videos": len(videos),
        "n_predicted_videos": len(videos) - len(missing),
        "n_missing_videos": len(missing),
        "n_ignored_captions": num_ignored,
        "n_unknown_videos": len(find_unknown_videos(predictions, videos)),
        **({"notes": [ONE_PARAGRAPH]} if len(videos) == 1 else {}),
        "per_video": {
            "video": list(videos),
            "n_captions": [len(events.sentences) for events in captions],
            "METEOR": values[best].tolist(),
            "CIDEr": cider_per_caption([samples]).tolist(),
            **{f"Bleu_{order}": column.tolist() for order, column in enumerate(bleu(per_sample).T, 1)},
            "ROUGE_L": rouge_l(per_sample).tolist(),
        },
    }


def _tokenize(
    captions: Sequence[VideoEvents], references: Sequence[Sequence[VideoEvents]], timeout_s: float
) -> list[tuple[str, tuple[str, ...]]]:
    """Return the tokenized paragraph of each video's captions, and those of its annotators."""
    paragraphs = [
        [join_paragraph(events)]
        for video, annotators in zip(captions, references, strict=True)
        for events in (video, *annotators)
    ]
    tokens = (text for (text,) in tokenize_documents(paragraphs, timeout_s))
    return [(next(tokens), tuple(islice(tokens, len(annotators)))) for annotators in references]

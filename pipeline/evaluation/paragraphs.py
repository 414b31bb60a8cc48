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

from pipeline.config.evaluate import Evaluate
from pipeline.evaluation.bleu import bleu
from pipeline.evaluation.cider import cider
from pipeline.evaluation.coverage import counted, reference_videos, tell_missing, unknown_videos
from pipeline.evaluation.diversity import diversity
from pipeline.evaluation.events import ByVideo, Events
from pipeline.evaluation.meteor import Scorer, aggregate, scores
from pipeline.evaluation.rouge import rouge_l
from pipeline.evaluation.tokenizer import tokenize_documents


def paragraph(events: Events) -> str:
    """The sentences in order of their start, one after the other; what is no letter becomes a space."""
    order = np.argsort(events.times[:, 0], kind="stable")
    return re.sub("[^a-z]", " ", ". ".join(events.sentences[index] for index in order).lower())


def score_paragraphs(
    predictions: ByVideo, references: Sequence[ByVideo], meteor: Scorer, settings: Evaluate
) -> dict[str, Any]:
    """Score every video of the references.

    Args:
        predictions: captions of each video.
        references: by each annotator.
        meteor: counts METEOR's statistics.
        settings: how many captions of a video count.

    Returns:
        METEOR, CIDEr (from 0 to 10), Bleu_1 to Bleu_4, ROUGE_L; diversity of the paragraphs; n_videos,
        n_predicted_videos, n_missing_videos, n_ignored_captions, n_unknown_videos.

    Raises:
        PipelineError: no reference videos, or one without events.
    """
    videos = reference_videos(references)
    captions, beyond = counted(predictions, videos, settings.max_proposals)
    said = [paragraph(events) for events in captions]
    known = [[paragraph(annotator) for annotator in annotators] for annotators in videos.values()]
    alone = [[text] for one, several in zip(said, known, strict=True) for text in (one, *several)]
    tokens = (text for (text,) in tokenize_documents(alone, settings.timeout_s))
    samples = [(next(tokens), tuple(islice(tokens, len(several)))) for several in known]

    statistics = meteor.statistics([(caption, one) for caption, several in samples for one in several])
    value, best, start = scores(statistics), [], 0
    for _, several in samples:
        best.append(start + int(np.argmax(value[start : start + len(several)])))
        start += len(several)
    missing = [video for video, events in zip(videos, captions, strict=True) if not events.sentences]
    tell_missing(missing, len(videos))
    return {
        "METEOR": aggregate(statistics[best]),
        "CIDEr": float(cider([samples])[0]),
        **{f"Bleu_{order}": float(one) for order, one in enumerate(bleu([samples])[0], 1)},
        "ROUGE_L": float(rouge_l([samples])[0]),
        "diversity": diversity({video: [caption] for video, (caption, _) in zip(videos, samples, strict=True)}, None),
        "n_videos": len(videos),
        "n_predicted_videos": len(videos) - len(missing),
        "n_missing_videos": len(missing),
        "n_ignored_captions": beyond,
        "n_unknown_videos": len(unknown_videos(predictions, videos)),
    }

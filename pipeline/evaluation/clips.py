"""Captions of clips, scored as the evaluation server of COCO does (Chen et al., 2015): one caption of each clip.

The scores are those of the whole set as one corpus: BLEU counts the n-grams of all clips, CIDEr takes the document
frequencies of the references of all clips, METEOR takes for each clip the reference that scores best. ROUGE-L and
CIDEr are means over the clips. Everything equals pycocoevalcap 1.2. Unlike the evaluator of ActivityNet Captions, the
tokenizer keeps letters that are not ASCII.

Besides: Meta-Sum, the sum of BLEU-4, METEOR, ROUGE-L and CIDEr, and the diversity of the captions (Yang et al., 2022).
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.errors import PipelineError
from pipeline.evaluation.bleu import bleu
from pipeline.evaluation.cider import SINGLE_PAIR, cider_per_caption
from pipeline.evaluation.diversity import diversity
from pipeline.evaluation.evaluator import describe_evaluator
from pipeline.evaluation.matching import abbreviate_names
from pipeline.evaluation.meteor import MeteorScorer, aggregate, best_references, meteor_scores
from pipeline.evaluation.meteor.metric import open_meteor
from pipeline.evaluation.metric import MetricContext
from pipeline.evaluation.ngrams import Sample, index_documents
from pipeline.evaluation.rouge import rouge_l
from pipeline.evaluation.tokenizer import tokenize_documents
from pipeline.provenance.code_hash import code_hash

ONE_CLIP = f"CIDEr is 0, whatever the caption: the set is a single clip. {SINGLE_PAIR}"
META_SUM = ("Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
"""The scores whose sum is the Meta-Sum."""


def score_clips(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    meteor: MeteorScorer,
    *,
    timeout_s: float = 600.0,
    training: Collection[str] | None = None,
) -> dict[str, Any]:
    """Score every clip of the references.

    Args:
        predictions: caption of each clip. A clip without one is scored as an empty caption.
        references: references of each clip, at least one; their order is the order of all tables.
        meteor: computes METEOR's statistics.
        timeout_s: a Java that is silent for this long is stopped [s].
        training: captions that the captioner was trained with, in the form of its own captions; for the share of novel
            captions.

    Returns:
        METEOR, CIDEr (0 to 10), Bleu_1 to Bleu_4, ROUGE_L of the set, Meta_Sum; diversity; n_clips, n_predicted_clips,
        n_missing_clips, n_unknown_clips; notes, if there are any; per_video, a table of the scores of each clip. The
        set's CIDEr and ROUGE_L are the means of that table; its METEOR and BLEU are not.

    Raises:
        PipelineError: there are no references, or a clip has none.
    """
    if not references:
        raise PipelineError("there are no reference clips to score captions against")
    without = [clip for clip, captions in references.items() if not captions]
    if without:
        raise PipelineError(f"references: clip {without[0]} has no caption; remove it or add one")
    captions = {clip: predictions.get(clip, "") for clip in references}
    samples = _tokenize(captions, references, timeout_s)
    pairs = [(caption, text) for caption, texts in samples for text in texts]
    with ThreadPoolExecutor(1) as pool:  # METEOR takes as long as the others together
        future = pool.submit(meteor.statistics, pairs)
        corpus = index_documents([samples])
        per_caption = corpus.split()
        ciders, rouges, bleus = cider_per_caption(corpus), rouge_l(per_caption), bleu(per_caption)
        statistics = future.result()
    values = meteor_scores(statistics)
    best = best_references(values, [len(texts) for _, texts in samples])
    scores = {
        "METEOR": aggregate(statistics[best]),
        "CIDEr": float(ciders.mean()),
        **{f"Bleu_{order}": float(value) for order, value in enumerate(bleu(corpus)[0], 1)},
        "ROUGE_L": float(rouges.mean()),
    }
    if len(references) == 1:
        logging.warning("%s", ONE_CLIP)
    return {
        **scores,
        "Meta_Sum": sum(scores[name] for name in META_SUM),
        "diversity": diversity({clip: [" ".join(caption.split())] for clip, caption in captions.items()}, training),
        "n_clips": len(references),
        "n_predicted_clips": len(references.keys() & predictions.keys()),
        "n_missing_clips": len(references.keys() - predictions.keys()),
        "n_unknown_clips": len(predictions.keys() - references.keys()),
        "n_references": sum(map(len, references.values())),
        **({"notes": [ONE_CLIP]} if len(references) == 1 else {}),
        "per_video": {
            "video": list(references),
            "METEOR": values[best].tolist(),
            "CIDEr": ciders.tolist(),
            **{f"Bleu_{order}": column.tolist() for order, column in enumerate(bleus.T, 1)},
            "ROUGE_L": rouges.tolist(),
        },
    }


def evaluate_clip_captions(
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    settings: EvaluateClips,
    training: Collection[str] | None,
) -> dict[str, Any]:
    """Score captions of clips with the METEOR of the settings; see `score_clips`."""
    with MetricContext(settings.meteor_settings) as context:
        meteor = open_meteor(context)
        return score_clips(captions, references, meteor, timeout_s=settings.timeout_s, training=training)


def describe_clip_evaluator(settings: EvaluateClips, references: Sequence[Path], stage: str) -> dict[str, Any]:
    """Describe what must be equal for two results to be comparable, and what computed them: the code of a stage."""
    described = describe_evaluator(settings.meteor_settings, references)
    unused = ("variant", "tious", "max_proposals")
    common = {key: value for key, value in described.items() if key not in unused}
    name = {"name": "clips (COCO's protocol)", "subset": settings.subset}
    return {**common, **name, "code": code_hash(f"pipeline.{stage}")}


def _tokenize(captions: Mapping[str, str], references: Mapping[str, Sequence[str]], timeout_s: float) -> list[Sample]:
    """Return the tokenized caption of each clip with its tokenized references."""
    texts = [text for of_clip in references.values() for text in of_clip]
    caption_tokens, reference_tokens = tokenize_documents([list(captions.values()), texts], timeout_s, ascii_only=False)
    remaining = iter(reference_tokens)
    return [
        (caption, tuple(islice(remaining, len(of_clip))))
        for caption, of_clip in zip(caption_tokens, references.values(), strict=True)
    ]


def check_clip_coverage(
    name: str, predictions: Collection[str], references: Collection[str], *, require_complete: bool
) -> None:
    """Check that captions and references have clips in common; warn of the others.

    Args:
        name: name of the captions, for messages.
        predictions: ids of the captioned clips.
        references: ids of the clips with references.
        require_complete: whether every clip with references must have a caption.

    Raises:
        PipelineError: no clip in common, or a clip without a caption where none is allowed.
    """
    missing, unknown = sorted(set(references) - set(predictions)), sorted(set(predictions) - set(references))
    if references and len(missing) == len(references):
        raise PipelineError(
            f"{name}: no clip is in the references: the captions have {abbreviate_names(unknown)}, the references have "
            f"{abbreviate_names(missing)}"
        )
    if missing and require_complete:
        raise PipelineError(
            f"{name}: {len(missing)} of {len(references)} reference clips have no caption "
            f"({abbreviate_names(missing)}); caption them, or leave out require_complete"
        )
    if missing:
        logging.warning(
            "%s: %d of %d reference clips have no caption and score as empty ones: %s",
            *(name, len(missing), len(references), abbreviate_names(missing)),
        )
    if unknown:
        logging.warning(
            "%s: ignored the captions of %d clips that are not in the references: %s",
            *(name, len(unknown), abbreviate_names(unknown)),
        )


def format_clip_scores(scores: Mapping[str, Any]) -> str:
    """Format the scores of a set in percent, and its diversity, one line each."""
    lines = [f"{name:24}{100 * value:8.2f}" for name, value in scores.items() if isinstance(value, float)]
    shares = {name: value for name, value in scores["diversity"].items() if name in ("unique", "novel")}
    lines += [f"{name:24}{100 * value:8.2f}" for name, value in shares.items()]
    return "\n".join([*lines, f"{'vocabulary':24}{scores['diversity']['vocabulary']:8d}"])

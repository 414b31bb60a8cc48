"""Scores of recognizers of clips: classes, groups of classes, captions (Mahdisoltani et al., 2018, Tables 2 to 7)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int64

from pipeline.datasets.caption_tokens import split_tokens
from pipeline.evaluation.bleu import bleu
from pipeline.evaluation.meteor.formula import MeteorScorer
from pipeline.evaluation.rouge import rouge_l

LogProbs = Float[np.ndarray, "clips classes"]
Ids = Int64[np.ndarray, " clips"]


def top_k_accuracy(log_probs: LogProbs, targets: Ids, k: int) -> float:
    """Compute the share of clips whose class is among the k most likely ones.

    A class that ties with the target counts as more likely, so equal scores never help. A target of -1, of a class that
    training lacks, is never right.

    Args:
        log_probs: of each clip and class.
        targets: class of each clip.
        k: number of classes that count.
    """
    score = log_probs[np.arange(len(targets)), targets.clip(min=0)]
    rank = (log_probs >= score[:, None]).sum(axis=1)
    return float(((rank <= k) & (targets >= 0)).mean())


def group_probabilities(
    log_probs: LogProbs, group_of_class: Int64[np.ndarray, " classes"], num_groups: int
) -> Float[np.ndarray, "clips groups"]:
    """Sum the probabilities of the classes of each group (section 5.2).

    Args:
        log_probs: of each clip and class.
        group_of_class: group of each class.
        num_groups: number of groups.
    """
    probabilities = np.zeros((len(log_probs), num_groups))
    for index, group in enumerate(group_of_class):
        probabilities[:, group] += np.exp(log_probs[:, index].astype(np.float64))
    return probabilities


def majority_classes(
    group_of_class: Int64[np.ndarray, " classes"], train_counts: Int64[np.ndarray, " classes"], num_groups: int
) -> Int64[np.ndarray, " groups"]:
    """Return the class of each group with the most training clips; of equal ones, the first.

    With the groups that a coarse model predicts, this is the paper's guess of the fine class (23.8 %, section 5.2).

    Args:
        group_of_class: group of each class.
        train_counts: training clips of each class.
        num_groups: number of groups.
    """
    classes = np.zeros(num_groups, np.int64)
    for group in range(num_groups):
        members = np.flatnonzero(group_of_class == group)
        classes[group] = members[train_counts[members].argmax()]
    return classes


def exact_match(predictions: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> float:
    """Compute the share of captions whose token ids are all equal, padding included.

    Two unknown words match, and digits are no tokens: "Stacking 4 coins" equals "Stacking coins".
    """
    pairs = zip(predictions, references, strict=True)
    return float(np.mean([tuple(prediction) == tuple(reference) for prediction, reference in pairs]))


def normalize_caption(caption: str) -> str:
    """Return a caption as it is compared: the letters A to Z and spaces only, in small letters.

    The paper's scores come from a private program, whose normalisation nobody knows. Here both sides get this one.
    """
    return " ".join(split_tokens(caption)).lower()


def score_captions(predictions: Sequence[str], references: Sequence[str], meteor: MeteorScorer) -> dict[str, float]:
    """Compute BLEU@4, ROUGE-L and METEOR, all clips as one corpus, fractions of 1.

    Args:
        predictions: captions.
        references: one for each of them.
        meteor: computes METEOR.
    """
    pairs = [
        (normalize_caption(prediction), normalize_caption(reference))
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    return {
        "Bleu_4": float(bleu([pairs])[0, 3]),
        "ROUGE_L": float(rouge_l([pairs])[0]),
        "METEOR": float(meteor.aggregate([pairs])[0]),
    }


def likely_captions(captions: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the most frequent caption of each class; of equally frequent ones, the first to become so.

    The paper fills the template of the predicted class with its most likely objects (3.15 % and 5.69 % exact match);
    as in the authors' code, whole captions are counted.

    Args:
        captions: class and caption of each training clip.
    """
    counts: dict[str, dict[str, int]] = {}
    best: dict[str, str] = {}
    for label, caption in captions:
        of_class = counts.setdefault(label, {})
        of_class[caption] = of_class.get(caption, 0) + 1
        if of_class[caption] > of_class.get(best.get(label, ""), 0) or label not in best:
            best[label] = caption
    return best

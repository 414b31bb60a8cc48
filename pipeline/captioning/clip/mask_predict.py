"""Decoding of NACF: all words at once, then again and again the least certain ones (mask-predict).

Ghazvininejad et al., 2019, as Yang et al., 2021 (NACF) use it: several lengths are tried at the same time; a template
of the visual words comes first (coarse to fine); an autoregressive teacher selects the length in the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.captioning.clip.masked_words import SpecialIds

PredictWords = Callable[[Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor]]
"""From tokens, the mask of their words and the chosen positions [rows, words], and whether the template is asked for
(`ids.mask` may be predicted), to the most probable token of each chosen position and its probability [positions]."""
ScoreWords = Callable[[Tensor, Tensor], Tensor]
"""From tokens and the mask of their words to the teacher's probability of each token [rows, words]."""
Watch = Callable[["Candidates"], None]
Order = Literal["mask_predict", "left_to_right", "easy_first"]
"""Which words are predicted after the template: see `MaskPredict`."""


@dataclass(frozen=True)
class Candidates:
    """Captions of several lengths.

    Attributes:
        tokens: the tokens; padding behind each caption's end.
        probs: probability of each token when it was predicted last; 1 in the padding.
        mask: true for words, false for padding.
    """

    tokens: Int64[Tensor, "rows words"]
    probs: Float[Tensor, "rows words"]
    mask: Bool[Tensor, "rows words"]

    def replace(
        self,
        chosen: Bool[Tensor, "rows words"],
        tokens: Int64[Tensor, " positions"],
        probs: Float[Tensor, " positions"],
    ) -> "Candidates":
        """Replace the chosen tokens and their probabilities."""
        new_tokens = self.tokens.masked_scatter(chosen, tokens)
        return Candidates(new_tokens, self.probs.masked_scatter(chosen, probs), self.mask)

    @property
    def lengths(self) -> Int64[Tensor, " rows"]:
        """Number of words of each caption."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class MaskPredict:
    """How captions are refined.

    Attributes:
        ids: special ids.
        iterations: number of passes after the template.
        template: whether a first pass predicts the visual words alone.
        teacher_masks: whether the teacher's probabilities decide too which words are predicted again.
        order: `mask_predict`: the words that the template left open, then the least certain ones in each pass.
            `left_to_right` and `easy_first` need the template: they fill the open positions one by one, in their order
            or the most certain one first, and then predict the visual words again.
    """

    ids: SpecialIds
    iterations: int
    template: bool
    teacher_masks: bool = False
    order: Order = "mask_predict"

    def refine(
        self,
        lengths: Int64[Tensor, " rows"],
        predict: PredictWords,
        score: ScoreWords | None = None,
        watch: Watch = lambda _: None,
    ) -> Candidates:
        """Write captions of given lengths.

        Args:
            lengths: number of words of each caption.
            predict: predicts words.
            score: the teacher; None: there is none.
            watch: is called after each pass.
        """
        mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
        nothing = torch.full(mask.shape, self.ids.pad, device=mask.device)
        candidates = Candidates(nothing, torch.ones(mask.shape, device=mask.device), mask)
        if self.template:
            candidates = self._predict_template(candidates, predict)
            watch(candidates)
            if self.order != "mask_predict":
                return self._fill_one_by_one(candidates, predict, watch)
            candidates = self._predict_again(candidates, candidates.tokens == self.ids.mask, predict)
        else:
            candidates = self._predict_again(candidates, mask, predict)
        watch(candidates)
        total = self.iterations + self.template
        for index in range(1 + self.template, total):
            chosen = self._least_certain(candidates, 1 - index / total, score)
            candidates = self._predict_again(candidates, chosen, predict)
            watch(candidates)
        return candidates

    def _predict_template(self, candidates: Candidates, predict: PredictWords) -> Candidates:
        """Predict the visual words; the probability of the positions that stay open is 0."""
        mask = candidates.mask
        tokens, probs = predict(candidates.tokens.masked_fill(mask, self.ids.visual), mask, mask, True)
        return candidates.replace(mask, tokens, probs.masked_fill(tokens == self.ids.mask, 0.0))

    def _fill_one_by_one(self, candidates: Candidates, predict: PredictWords, watch: Watch) -> Candidates:
        """Fill one open position of each caption in each pass, then predict the visual words again."""
        is_open = candidates.mask & (candidates.tokens == self.ids.mask)
        is_visual = candidates.mask & ~is_open
        while is_open.any():
            predicted = self._predict_again(candidates, is_open, predict)
            places = torch.arange(is_open.shape[1], 0, -1, device=is_open.device)
            preference = predicted.probs if self.order == "easy_first" else places.expand_as(predicted.probs)
            first = preference.masked_fill(~is_open, -1).argmax(1, keepdim=True)
            chosen = torch.zeros_like(is_open).scatter(1, first, True) & is_open
            candidates = candidates.replace(chosen, predicted.tokens[chosen], predicted.probs[chosen])
            is_open = is_open & ~chosen
            watch(candidates)
        candidates = self._predict_again(candidates, is_visual, predict)
        watch(candidates)
        return candidates

    def _predict_again(
        self, candidates: Candidates, chosen: Bool[Tensor, "rows words"], predict: PredictWords
    ) -> Candidates:
        """Predict the chosen words from the others; the others keep their probability."""
        hidden = candidates.tokens.masked_fill(chosen, self.ids.mask)
        return candidates.replace(chosen, *predict(hidden, candidates.mask, chosen, False))

    def _least_certain(
        self, candidates: Candidates, ratio: float, score: ScoreWords | None
    ) -> Bool[Tensor, "rows words"]:
        """Choose the least certain words of each caption, at least one.

        Args:
            candidates: the captions.
            ratio: share of the words, rounded down.
            score: the teacher, which decides too if `teacher_masks` says so.
        """
        certainty = candidates.probs
        if self.teacher_masks and score is not None:
            certainty = certainty * score(candidates.tokens, candidates.mask)
        counts = (candidates.lengths * ratio).long().clamp_min(1)
        ranks = certainty.masked_fill(~candidates.mask, torch.inf).argsort(dim=1, stable=True).argsort(1)
        return ranks < counts[:, None]


def score_captions(
    candidates: Candidates,
    length_power: float,
    score: ScoreWords | None,
    length_log_probs: Float[Tensor, " rows"] | float = 0.0,
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows words"]]:
    """Score captions: the sum of the words' log-probabilities, divided by (number of words) ** `length_power`.

    Args:
        candidates: the captions.
        length_power: 0 prefers short captions; 1 compares means.
        score: the teacher; its probability of a word is multiplied with the captioner's.
        length_log_probs: is added to the sum. Without a teacher, the words alone do not tell a caption that is too long
            from a good one.

    Returns:
        the score of each caption, and the log-probability of each word; 0 in the padding.
    """
    log_probs = candidates.probs.log()
    if score is not None:
        log_probs = log_probs + score(candidates.tokens, candidates.mask).log()
    log_probs = log_probs.masked_fill(~candidates.mask, 0.0)
    return (log_probs.sum(1) + length_log_probs) / candidates.lengths.float() ** length_power, log_probs


def choose_lengths(
    log_probs: Float[Tensor, "events lengths"], count: int, shortest: int, longest: int
) -> Int64[Tensor, "events candidates"]:
    """Return the most probable lengths of each event, the best first, moved into the allowed range.

    As published, two candidates that are moved to the same length both stay.

    Args:
        log_probs: log-probability of each number of words, from 0.
        count: number of candidates.
        shortest: smallest allowed number of words.
        longest: largest allowed number of words.
    """
    count = min(count, log_probs.shape[1])
    return log_probs.topk(count).indices.clamp(min(shortest, longest), longest)

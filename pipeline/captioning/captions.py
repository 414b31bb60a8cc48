"""Captions as token ids: their ends, their probabilities and loss, and the constraints of decoding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # the usual name

from pipeline.datasets.vocabulary import EOS, NUM_SPECIAL, UNK, Vocabulary
from pipeline.evaluation.diversity import BAD_ENDINGS


@dataclass(frozen=True)
class Captions:
    """Captions of the events of a batch, in its order.

    Attributes:
        tokens: token ids; EOS from the caption's end on. A caption of the maximum length may have no EOS.
        log_probs: log-probability of each token, 0 after the caption's end. The captioner's own probabilities:
            constraints of decoding do not renormalise them.
        mask: true for the words and the first EOS of each caption.
    """

    tokens: Int64[Tensor, "events words"]
    log_probs: Float[Tensor, "events words"]
    mask: Bool[Tensor, "events words"]

    def word_ids(self) -> list[list[int]]:
        """Return the ids of each caption's words, without EOS."""
        return [[token for token in row if token != EOS] for row in self.tokens.tolist()]

    def token_ids(self) -> list[list[int]]:
        """Return the ids of each caption's words, followed by EOS if the caption has one."""
        lengths = self.mask.sum(1).tolist()
        return [row[:length] for row, length in zip(self.tokens.tolist(), lengths, strict=True)]


def caption_lengths(tokens: Int64[Tensor, "events words"]) -> Int64[Tensor, " events"]:
    """Return the number of words before each caption's first EOS."""
    return ((tokens == EOS).cumsum(1) == 0).sum(1)


def token_mask(tokens: Int64[Tensor, "events words"]) -> Bool[Tensor, "events words"]:
    """Return true for the words and the first EOS of each caption."""
    num_ends = (tokens == EOS).cumsum(1)
    return (num_ends == 0) | ((num_ends == 1) & (tokens == EOS))


def mask_special_tokens(logits: Float[Tensor, "*events ids"], *tokens: int) -> Float[Tensor, "*events ids"]:
    """Set the logits of some tokens to minus infinity."""
    return logits.index_fill(-1, torch.tensor(tokens, device=logits.device), -torch.inf)


def next_token_log_probs(
    logits: Float[Tensor, "events ids"], *, is_first: bool, temperature: float = 1.0
) -> Float[Tensor, "events ids"]:
    """Return log-probabilities of the next token. UNK is never generated, and EOS not as the first token."""
    return mask_special_tokens(logits / temperature, UNK, *((EOS,) if is_first else ())).log_softmax(1)


def caption_log_probs(logits: Float[Tensor, "events words ids"]) -> Float[Tensor, "events words ids"]:
    """Return log-probabilities of the tokens at all positions, as `next_token_log_probs` does for one."""
    possible = mask_special_tokens(logits, UNK)
    is_forbidden = torch.zeros(possible.shape[1:], dtype=torch.bool, device=possible.device)
    is_forbidden[0, EOS] = True
    return possible.masked_fill(is_forbidden, -torch.inf).log_softmax(2)


def cross_entropy(
    log_probs: Float[Tensor, "events words ids"], tokens: Int64[Tensor, "events words"]
) -> Float[Tensor, ""]:
    """Return the mean negative log-probability of the words and the EOS of captions; unknown words do not count."""
    mask = token_mask(tokens) & (tokens != UNK)
    of_tokens = log_probs.gather(2, tokens[..., None]).squeeze(2)
    return -of_tokens[mask].mean()


def label_smoothing_loss(
    log_probs: Float[Tensor, "events words ids"], tokens: Int64[Tensor, "events words"], smoothing: float
) -> Float[Tensor, ""]:
    """Return the mean divergence of the tokens' probabilities from smoothed targets (Szegedy et al., 2016, section 7).

    The target of a token is 1 - `smoothing`. The other tokens share `smoothing` equally, but for those that are
    impossible at the position, whose log-probability is minus infinity. Unknown words do not count.
    """
    mask = token_mask(tokens) & (tokens != UNK)
    return smoothed_divergence(log_probs[mask], tokens[mask], smoothing) / mask.sum()


def smoothed_divergence(
    log_probs: Float[Tensor, "positions ids"], targets: Int64[Tensor, " positions"], smoothing: float
) -> Float[Tensor, ""]:
    """Return the Kullback-Leibler divergence of probabilities from smoothed targets, summed over the positions."""
    possible = log_probs.detach() > -torch.inf
    share = smoothing / (possible.sum(1, keepdim=True) - 1).clamp_min(1)
    smoothed = (share * possible).to(log_probs).scatter(1, targets[:, None], 1 - smoothing)
    return F.kl_div(log_probs.masked_fill(~possible, 0.0), smoothed, reduction="sum")


def draw_replacements(
    logits: Float[Tensor, "events ids"], prob: float
) -> tuple[Int64[Tensor, " events"], Bool[Tensor, " events"]]:
    """Draw the tokens that scheduled sampling feeds back (Bengio et al., 2015).

    Args:
        logits: logits of the previous token.
        prob: probability that an event's annotated token is replaced.

    Returns:
        a token drawn for each event, never EOS; and whether it replaces the annotated one.
    """
    with torch.no_grad():
        drawn = mask_special_tokens(logits, UNK, EOS).softmax(1).multinomial(1).squeeze(1)
        is_replaced = torch.rand(len(logits), device=logits.device) < prob
    return drawn, is_replaced


def restore_batch_order(
    parts: Sequence[Tensor], events: Sequence[Int64[Tensor, " _"]], num_words: int, padding: int = 0
) -> Tensor:
    """Join the results of decoding rounds in the order of the batch.

    Args:
        parts: results of each round, [events of the round, words of the round, ...].
        events: positions of each round's events in the batch.
        num_words: size of the second dimension of the result.
        padding: value after the last word of a round.

    Returns:
        [events, num_words, ...].
    """
    padded = [_pad_words(part, num_words, padding) for part in parts]
    return torch.cat(padded)[torch.cat(list(events)).argsort()]


def _pad_words(part: Tensor, num_words: int, padding: int) -> Tensor:
    missing = part.new_full((part.shape[0], num_words - part.shape[1], *part.shape[2:]), padding)
    return torch.cat([part, missing], 1)


@dataclass(frozen=True)
class DecodingConstraints:
    """Constraints on the tokens that decoding chooses, however probable they are.

    If the constraints forbid every token, the caption ends.

    Attributes:
        bad_endings: words that no caption may end with. A caption that reaches the maximum length there is truncated to
            its last good ending; a caption that consists of such words only is kept.
        block_ngrams: no caption repeats an n-gram of this length; 0: no constraint.
    """

    bad_endings: tuple[int, ...] = ()
    block_ngrams: int = 0

    @classmethod
    def from_vocabulary(cls, vocabulary: Vocabulary, block_ngrams: int) -> "DecodingConstraints":
        """Forbid the bad endings of `pipeline.evaluation.diversity`, by their ids in a vocabulary."""
        ids = [number for number, word in enumerate(vocabulary.words, start=NUM_SPECIAL) if word in BAD_ENDINGS]
        return cls(tuple(ids), block_ngrams)

    def mask_logits(
        self, logits: Float[Tensor, "events ids"], tokens: Int64[Tensor, "events words"]
    ) -> Float[Tensor, "events ids"]:
        """Set the logits of the tokens that would break a constraint to minus infinity.

        Args:
            logits: logits (or log-probabilities) of the next token; minus infinity for impossible tokens.
            tokens: the tokens before it. What comes out for captions that have ended is not defined.
        """
        allowed = logits
        if tokens.shape[1]:
            is_open = self._is_bad_ending(tokens[:, -1:])
            allowed = torch.where(is_open, mask_special_tokens(allowed, EOS), allowed)
        if self.block_ngrams:
            allowed = allowed.masked_fill(self._would_repeat(tokens, logits.shape[1]), -torch.inf)
        is_stuck = (allowed == -torch.inf).all(1, keepdim=True)
        is_word = torch.arange(logits.shape[1], device=logits.device) != EOS
        return torch.where(is_stuck, logits.masked_fill(is_word, -torch.inf), allowed)

    def truncate_bad_endings(self, tokens: Int64[Tensor, "events words"]) -> Int64[Tensor, "events words"]:
        """Truncate captions with a bad ending to their last good ending."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        is_good = ~self._is_bad_ending(tokens) & (positions < caption_lengths(tokens)[:, None])
        last = torch.where(is_good, positions, -1).amax(1, keepdim=True)
        return tokens.masked_fill((last >= 0) & (positions > last), EOS)

    def _is_bad_ending(self, tokens: Int64[Tensor, "*events"]) -> Bool[Tensor, "*events"]:
        return torch.isin(tokens, torch.tensor(self.bad_endings, dtype=tokens.dtype, device=tokens.device))

    def _would_repeat(self, tokens: Int64[Tensor, "events words"], num_ids: int) -> Bool[Tensor, "events ids"]:
        """Return which next tokens would repeat an n-gram."""
        size = self.block_ngrams
        counts = torch.zeros(len(tokens), num_ids, dtype=torch.int32, device=tokens.device)
        if tokens.shape[1] < size:
            return counts > 0
        ngrams = tokens.unfold(1, size, 1)
        has_same_prefix = (ngrams[..., :-1] == tokens[:, None, tokens.shape[1] - size + 1 :]).all(2)
        return counts.scatter_add(1, ngrams[..., -1], has_same_prefix.to(counts.dtype)) > 0


UNCONSTRAINED = DecodingConstraints()

"""NACF: a captioner that is not autoregressive (Yang et al., 2021), as CLIP-DAP built it again (Yang et al., 2022).

It predicts the length of a caption, then all its words at once, and refines them (`mask_predict`). Its probabilities,
which training by rewards and scores of captions use, are those of a single pass: the length, and each word while all
words are hidden.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.captioning.base import (
    Captioner,
    CaptionerSizes,
    DecodingStrategy,
    evaluation_mode,
    select_rows,
    shift_right,
    trim_padding,
)
from pipeline.captioning.captions import (
    UNCONSTRAINED,
    Captions,
    DecodingConstraints,
    caption_lengths,
    mask_special_tokens,
    token_mask,
)
from pipeline.captioning.clip.autoregressive import TransformerCaptioner, decoder_sizes
from pipeline.captioning.clip.captioner import ClipCaptioner, summed_cross_entropy
from pipeline.captioning.clip.encoder import init_weights
from pipeline.captioning.clip.mask_predict import MaskPredict, ScoreWords, choose_lengths, score_captions
from pipeline.captioning.clip.masked_words import (
    LengthPredictor,
    MaskedCaptions,
    SpecialIds,
    ask_for_visual_words,
    find_visual_words,
    length_loss,
    mask_words,
)
from pipeline.captioning.clip.transformer import TransformerDecoder
from pipeline.captioning.decoding import BeamSearch, Sampling, sample_tokens
from pipeline.captioning.instances import Instances
from pipeline.captioning.streams import EventBatch
from pipeline.captioning.targets import CaptionTargets
from pipeline.config.captioners import ArbSettings, ClipTransformerSettings, NacfSettings
from pipeline.datasets.vocabulary import EOS, PAD, UNK
from pipeline.errors import PipelineError

NUM_INPUT_IDS = 2
"""Ids beside the vocabulary: a word to predict, and a word of which only the visual ones are predicted."""
LAST_RESORT = -1e30
"""Log-probability of EOS where a word is due."""
LARGEST_DRAW = 1.0 - 1e-12
"""Draws of words stay below 1."""


class NacfCaptioner(ClipCaptioner):
    """The captioner.

    Args:
        sizes: sizes that come from the data; any number of streams.
        settings: settings of the architecture.
    """

    settings: NacfSettings

    def __init__(self, sizes: CaptionerSizes, settings: NacfSettings) -> None:
        super().__init__(sizes, settings)
        self.ids = SpecialIds(PAD, sizes.vocabulary, sizes.vocabulary + 1)
        num_ids = sizes.vocabulary + NUM_INPUT_IDS
        self.lengths = LengthPredictor(settings.hidden, self.num_positions, settings.dropout)
        self.decoder = TransformerDecoder(decoder_sizes(settings, self.num_positions), num_ids)
        self.output = nn.Linear(settings.hidden, num_ids, bias=False)
        self.apply(init_weights)
        self.add_attributes(settings.hidden, settings.hidden)
        self.teacher = build_teacher(sizes, settings) if settings.teacher else None

    def start_from_teacher(self, teacher: Captioner) -> None:
        """Take the weights of a trained teacher: of the encoder, the decoder and the output layer.

        Raises:
            PipelineError: the teacher has other sizes.
        """
        assert self.teacher is not None
        if _network_shape(teacher) != _network_shape(self.teacher):
            raise PipelineError(
                f"teacher {self.settings.teacher}: a captioner of another kind or size; it needs the architecture arb, "
                "and the features, vocabulary, max_words, hidden, heads, feedforward and layers of this captioner"
            )
        weights = {name: value for name, value in teacher.state_dict().items() if not name.startswith("attributes.")}
        self.teacher.load_state_dict(weights)
        state = self.state_dict()
        with torch.no_grad():
            for name, value in weights.items():
                if name.startswith(("encoder.", "decoder.", "output.")):
                    place = state[name][: len(value)] if value.ndim else state[name]
                    place.copy_(value)

    def train(self, mode: bool = True) -> "NacfCaptioner":
        """Set the mode of all parts but the teacher, which stays in evaluation mode."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def read(
        self, memory: Instances, tokens: Int64[Tensor, "events words"], mask: Bool[Tensor, "events words"]
    ) -> Float[Tensor, "events words dim"]:
        """Read words, or special ids, and return the output for each position.

        Args:
            memory: the encoded feature rows.
            tokens: the tokens.
            mask: true for words, false behind the caption's end. Each caption has at least one word.
        """
        embedded = self.decoder.embed(tokens.masked_fill(~mask, self.ids.pad), offset=memory.mean())
        return self.decoder.decode(self.decoder.start(memory), embedded, mask)

    def word_log_probs(self, hidden: Float[Tensor, "*positions dim"], *also: int) -> Float[Tensor, "*positions ids"]:
        """Return log-probabilities of words.

        Args:
            hidden: output for the positions.
            also: special ids that are possible beside words.
        """
        impossible = {EOS, UNK, self.ids.mask, self.ids.visual} - set(also)
        return mask_special_tokens(self.output(hidden), *sorted(impossible)).log_softmax(-1)

    def length_log_probs(self, memory: Instances, temperature: float = 1.0) -> Float[Tensor, "events lengths"]:
        """Return log-probabilities of the numbers of words, from 1 to `max_words`."""
        logits = self.lengths(memory.mean()) / temperature
        return logits[:, 1 : self.sizes.max_words + 1].log_softmax(1)

    def forward_with_instances(
        self,
        batch: EventBatch,
        tokens: Int64[Tensor, "events words"],
        sampling_prob: float = 0.0,  # noqa: ARG002  # no token is read
    ) -> tuple[Float[Tensor, "events words ids"], Instances, Instances]:
        """Return log-probabilities of given captions in a single pass, the encoded rows, and the embedded words."""
        memory, captions = self.encode(batch), trim_padding(tokens)
        log_probs = self._single_pass(memory, captions)
        words = self.decoder.embed(captions, offset=memory.mean())
        mask = token_mask(captions) & (captions != EOS)
        padded = nn.functional.pad(log_probs, (0, 0, 0, tokens.shape[1] - captions.shape[1]))
        return padded, memory, Instances(words, mask)

    def compute_losses(
        self,
        batch: EventBatch,
        targets: CaptionTargets,
        sampling_prob: float = 0.0,  # noqa: ARG002  # no token is read
    ) -> dict[str, Tensor]:
        """Compute the losses of masked words, visual words, length and attributes."""
        memory, tokens = self.encode(batch), trim_padding(targets.tokens)
        words = tokens[:, : int(caption_lengths(tokens).max())]
        mask = torch.arange(words.shape[1], device=words.device) < caption_lengths(tokens)[:, None]
        masked = mask_words(words, mask, self.ids)
        losses = {"masked_words": self._task_loss(memory, masked, mask)}
        if self.settings.visual_weight:
            is_visual = find_visual_words(targets.words, self.settings.tagger, words.shape).to(words.device)
            visual = ask_for_visual_words(words, mask, is_visual & (words != UNK), self.ids)
            losses["visual_words"] = self.settings.visual_weight * self._task_loss(memory, visual, mask, self.ids.mask)
        losses["length"] = length_loss(self.length_log_probs(memory), targets.lengths[:, 1:])
        if self.attributes is not None:
            of_masks = self.settings.attribute_words == "masked_caption"
            read, votes = (masked.source, masked.scored) if of_masks else (words, mask)
            text = Instances(self.decoder.embed(read, offset=memory.mean()), votes)
            losses |= self.attributes.compute_losses(memory, text, targets.attributes)
        return losses

    def generate(
        self, batch: EventBatch, strategy: DecodingStrategy, constraints: DecodingConstraints = UNCONSTRAINED
    ) -> Captions:
        """Caption the events of a batch.

        `Greedy` and `BeamSearch` try as many lengths as the settings say; `BeamSearch` sets the exponent of the length.
        `Sampling` draws a length and the words of a single pass.
        """
        if isinstance(strategy, Sampling):
            memory = self.encode(batch)
            tokens = self._sample(memory, strategy.uniform_draws(self, batch), strategy.temperature, constraints)
            return self._with_log_probs(memory, tokens, constraints, strategy.temperature)
        power = strategy.length_power if isinstance(strategy, BeamSearch) else self.settings.length_power
        with evaluation_mode(self):
            memory = self.encode(batch)
            best = self._search(batch, memory, power)
            tokens = self._keep_constraints(memory, best, constraints)
            return self._with_log_probs(memory, tokens, constraints, 1.0)

    def _task_loss(
        self, memory: Instances, task: MaskedCaptions, mask: Bool[Tensor, "events words"], *also: int
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy of a task of prediction, per caption or per word; unknown words do not count."""
        scored = task.scored & (task.targets != UNK)
        log_probs = self.word_log_probs(self.read(memory, task.source, mask), *also)
        count = len(mask) if self.settings.loss_per == "caption" else max(1, int(scored.sum()))
        return summed_cross_entropy(log_probs, task.targets, scored) / count

    def _single_pass(
        self, memory: Instances, tokens: Int64[Tensor, "events words"], temperature: float = 1.0
    ) -> Float[Tensor, "events words ids"]:
        """Return log-probabilities of tokens: each EOS has the probability that the caption ends there."""
        lengths = caption_lengths(tokens).clamp_min(1)
        mask = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        hidden = torch.full_like(tokens, self.ids.mask)
        log_probs = self.word_log_probs(self.read(memory, hidden, mask))
        words = (log_probs[..., : self.sizes.vocabulary] / temperature).log_softmax(2)
        end, goes_on = end_log_probs(self.length_log_probs(memory, temperature))
        num_words = tokens.shape[1]
        log_probs = words + goes_on[:, :num_words, None]
        is_eos = torch.arange(self.sizes.vocabulary, device=tokens.device) == EOS
        return torch.where(is_eos, end[:, :num_words, None], log_probs)

    def _with_log_probs(
        self,
        memory: Instances,
        tokens: Int64[Tensor, "events words"],
        constraints: DecodingConstraints,
        temperature: float,
    ) -> Captions:
        tokens = trim_padding(constraints.truncate_bad_endings(tokens))
        mask = token_mask(tokens)
        of_tokens = self._single_pass(memory, tokens, temperature).gather(2, tokens[..., None]).squeeze(2)
        return Captions(tokens, of_tokens.masked_fill(~mask, 0.0), mask)

    def _search(self, batch: EventBatch, memory: Instances, length_power: float) -> Int64[Tensor, "events words"]:
        """Return the best caption of several lengths for each event, EOS after its end.

        The teacher selects the length, as published. Without one, the predicted probability of the length counts too.
        """
        log_probs = nn.functional.pad(self.length_log_probs(memory), (1, 0), value=-torch.inf)
        count = min(self.settings.lengths, self.sizes.max_words)
        chosen = choose_lengths(log_probs, count, self.settings.min_words, self.sizes.max_words)
        num_events, num_lengths = chosen.shape
        rows = torch.arange(num_events, device=chosen.device).repeat_interleave(num_lengths)
        state, mean = select_rows((self.decoder.start(memory), memory.mean()), rows)

        def predict(tokens: Tensor, mask: Tensor, positions: Tensor, is_template: bool) -> tuple[Tensor, Tensor]:
            hidden = self.decoder.decode(state, self.decoder.embed(tokens, offset=mean), mask)
            log_probs = self.word_log_probs(hidden[positions], *((self.ids.mask,) if is_template else ()))
            best = log_probs.max(1)
            return best.indices, best.values.exp()

        score = self._teacher_scorer(batch, rows)
        settings = self.settings
        rules = MaskPredict(
            self.ids, settings.iterations, settings.template, settings.teacher_masks, settings.refinement
        )
        candidates = rules.refine(chosen.flatten(), predict, score)
        of_lengths = log_probs.gather(1, chosen).flatten() if score is None else 0.0
        scores, _ = score_captions(candidates, length_power, score, of_lengths)
        best = scores.view(num_events, num_lengths).argmax(1) + num_lengths * torch.arange(
            num_events, device=rows.device
        )
        words = candidates.tokens.masked_fill(~candidates.mask, EOS)[best]
        return nn.functional.pad(words, (0, 1), value=EOS)[:, : self.sizes.max_words]

    def _teacher_scorer(self, batch: EventBatch, rows: Int64[Tensor, " rows"]) -> ScoreWords | None:
        """Return the teacher's probabilities of words, given the words before them; None without a teacher."""
        teacher = self.teacher
        if teacher is None:
            return None
        state = select_rows(teacher.start(teacher.encode(batch)), rows)

        def score(tokens: Tensor, mask: Tensor) -> Tensor:
            words = teacher.decoder.embed(shift_right(tokens.masked_fill(~mask, EOS)))
            hidden, _ = teacher.decoder.read(state, words)
            log_probs = mask_special_tokens(teacher.output(hidden[mask]), UNK).log_softmax(1)
            of_tokens = log_probs.gather(1, tokens[mask][:, None]).squeeze(1)
            return torch.ones(mask.shape, device=mask.device).masked_scatter(mask, of_tokens.exp())

        return score

    def _keep_constraints(
        self, memory: Instances, tokens: Int64[Tensor, "events words"], constraints: DecodingConstraints
    ) -> Int64[Tensor, "events words"]:
        """Predict again, from left to right, each word that breaks a constraint; the others stay visible."""
        if constraints == UNCONSTRAINED:
            return tokens
        mask = tokens != EOS
        equal = mask_special_tokens(torch.zeros(len(tokens), self.sizes.vocabulary, device=tokens.device), UNK)
        for position in range(tokens.shape[1]):
            allowed = constraints.mask_logits(end_as_last_resort(equal), tokens[:, :position])
            is_broken = (allowed.gather(1, tokens[:, position, None]).squeeze(1) == -torch.inf) & mask[:, position]
            if not is_broken.any():
                continue
            hidden = tokens.clone()
            hidden[:, position] = self.ids.mask
            log_probs = self.word_log_probs(self.read(memory, hidden, mask)[:, position])[:, : self.sizes.vocabulary]
            best = constraints.mask_logits(end_as_last_resort(log_probs), tokens[:, :position]).argmax(1)
            tokens = tokens.clone()
            tokens[:, position] = torch.where(is_broken, best, tokens[:, position])
        return tokens

    @torch.no_grad()
    def _sample(
        self,
        memory: Instances,
        draws: Float[Tensor, "events words"],
        temperature: float,
        constraints: DecodingConstraints,
    ) -> Int64[Tensor, "events words"]:
        """Draw captions: a draw below the probability of the end ends the caption, else it draws the word."""
        end = end_log_probs(self.length_log_probs(memory, temperature))[0][:, : self.sizes.max_words].double().exp()
        is_word = (draws < end).cumsum(1) == 0
        hidden = torch.full(is_word.shape, self.ids.mask, device=is_word.device)
        log_probs = self.word_log_probs(self.read(memory, hidden, is_word))
        logits = log_probs[..., : self.sizes.vocabulary] / temperature
        draws_of_words = ((draws - end) / (1 - end)).clamp(0.0, LARGEST_DRAW)
        tokens = hidden[:, :0]
        for position in range(self.sizes.max_words):
            allowed = constraints.mask_logits(end_as_last_resort(logits[:, position]), tokens)
            drawn = sample_tokens(allowed, draws_of_words[:, position]).masked_fill(~is_word[:, position], EOS)
            tokens = torch.cat([tokens, drawn[:, None]], 1)
        return tokens


def end_as_last_resort(log_probs: Float[Tensor, "events ids"]) -> Float[Tensor, "events ids"]:
    """Make EOS possible where a word is due, but less probable than any word that is allowed."""
    return log_probs.index_fill(1, torch.tensor([EOS], device=log_probs.device), LAST_RESORT)


def end_log_probs(
    log_probs: Float[Tensor, "events lengths"],
) -> tuple[Float[Tensor, "events positions"], Float[Tensor, "events positions"]]:
    """Return the log-probabilities that a caption of so many words ends, and that it goes on, from 0 words.

    Args:
        log_probs: log-probabilities of the numbers of words, from 1.
    """
    at_least = log_probs.flip(1).logcumsumexp(1).flip(1)
    ends = nn.functional.pad(log_probs - at_least, (1, 0), value=-torch.inf)
    goes_on = nn.functional.pad(at_least[:, 1:] - at_least[:, :-1], (1, 0), value=0.0)
    return ends, nn.functional.pad(goes_on, (0, 1), value=-torch.inf)


def build_teacher(sizes: CaptionerSizes, settings: NacfSettings) -> TransformerCaptioner:
    """Build the teacher of a captioner, with weights that are not trained."""
    shared = {
        name: getattr(settings, name) for name in ArbSettings.model_fields if name not in ("architecture", "attributes")
    }
    without_attributes = CaptionerSizes(sizes.streams, sizes.vocabulary, sizes.max_words)
    teacher = TransformerCaptioner(without_attributes, ArbSettings(**shared))
    return teacher.requires_grad_(False).eval()


def _network_shape(captioner: Captioner) -> tuple[Any, ...]:
    """Return the settings and sizes that decide the shapes of a captioner's weights."""
    sizes, settings = captioner.sizes, captioner.settings
    shape: tuple[Any, ...] = (settings.architecture, dict(sizes.streams), sizes.vocabulary, sizes.max_words)
    if isinstance(settings, ClipTransformerSettings):
        shape += (settings.hidden, settings.heads, settings.feedforward or 4 * settings.hidden, settings.layers)
    return shape

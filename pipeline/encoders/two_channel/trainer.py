"""Train the two-channel network for one epoch, and validate it (Mahdisoltani et al., 2018, sections 4.1 and 5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.datasets.caption_tokens import GO
from pipeline.encoders.clip_loader import ClipBatch
from pipeline.encoders.clip_means import CountedMean, EpochMeans
from pipeline.encoders.clip_training import ClipTrainer
from pipeline.encoders.sampling import ClipSample
from pipeline.encoders.two_channel.data import RecognitionData
from pipeline.encoders.two_channel.losses import caption_loss, class_loss, class_weight
from pipeline.encoders.two_channel.network import RecognizerOutput, TwoChannelNetwork
from pipeline.training.precision import autocast
from pipeline.training.seeds import seed_all

MEANS = ("loss", "class_loss", "class_accuracy", "caption_loss", "token_accuracy", "exact_match")
IMPROVEMENT = 1e-4
"""Relative improvement of a score that counts (the threshold of PyTorch's ReduceLROnPlateau)."""


def plateau_rate(scores: Sequence[float], config: RecognizerEntry) -> float:
    """Return the learning rate after some epochs, as ReduceLROnPlateau of the authors' code would set it.

    The rate follows from the scores alone, so a resumed training needs no other state.

    Args:
        scores: `val_score` of each epoch so far.
        config: initial rate, factor, patience and smallest rate.
    """
    rate, best, bad_epochs = config.lr, float("-inf"), 0
    for score in scores:
        if score > best * (1 + IMPROVEMENT) or best == float("-inf"):
            best, bad_epochs = score, 0
        else:
            bad_epochs += 1
        if bad_epochs > config.patience:
            rate, bad_epochs = max(rate * config.lr_factor, config.min_lr), 0
    return rate


@dataclass(frozen=True)
class RecognizerTrainer(ClipTrainer):
    """Trains and validates a two-channel network.

    Attributes:
        model: the network, on the device.
        config: section of the stage.
        data: targets of the clips.
        scores: returns `val_score` of each epoch so far.
    """

    model: TwoChannelNetwork
    config: RecognizerEntry
    data: RecognitionData = field(kw_only=True)
    scores: Callable[[], Sequence[float]] = field(kw_only=True)

    def epoch_means(self, state: Float[Tensor, "processes names 2"] | None = None) -> EpochMeans:
        """Return the sums of an epoch, from those of an interrupted one."""
        return EpochMeans(MEANS, self.device, self.group, state)

    def set_learning_rates(self, epoch: int, step: int, num_steps: int) -> None:
        """Set the learning rate, which is constant in an epoch.

        While lambda changes, the score can stand still although the network learns; so the rate stays until the last
        knot of lambda. The authors' code starts a new optimizer there.
        """
        del epoch, step, num_steps
        settled = max(self.config.class_weight_by_epoch)
        rate = plateau_rate(self.scores()[settled - 1 :], self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def seed_microbatch(self, epoch: int, step: int, index: int) -> None:
        """Seed the dropout of a micro-batch."""
        seed_all("train_recognizer", self.config.seed, "dropout", epoch, step, index)

    def compute_loss(self, batch: ClipBatch, means: EpochMeans, epoch: int) -> Float[Tensor, ""] | None:
        """Compute lambda x class loss + (1 - lambda) x caption loss; None if no clip of the batch is readable."""
        output, labels, captions = self._forward(batch)
        return self._add_losses(output, labels, captions, means, epoch) if len(labels) else None

    def _add_losses(
        self,
        output: RecognizerOutput,
        labels: Int64[Tensor, " clips"],
        captions: Int64[Tensor, "clips _"],
        means: EpochMeans,
        epoch: int,
    ) -> Float[Tensor, ""]:
        """Compute the loss of a batch, and add losses and accuracies to the sums."""
        count = torch.full((), len(labels), dtype=torch.int64, device=self.device)
        weight = class_weight(epoch, self.config.class_weight_by_epoch, self.config.interpolation)
        total = torch.zeros((), device=self.device)
        if output.class_log_probs is not None:
            loss = class_loss(output.class_log_probs, labels)
            total = total + weight * loss
            means.add("class_loss", CountedMean(loss, count))
            accuracy = (output.class_log_probs.argmax(1) == labels).float().mean()
            means.add("class_accuracy", CountedMean(accuracy, count))
        if output.token_log_probs is not None:
            loss = caption_loss(output.token_log_probs, captions)
            num_tokens = captions.shape[1] if self.config.caption_loss == "sum" else 1
            total = total + (1 - weight) * num_tokens * loss
            means.add("caption_loss", CountedMean(loss, count))
            accuracy = (output.token_log_probs.argmax(2) == captions).float().mean()
            means.add("token_accuracy", CountedMean(accuracy, count))
        means.add("loss", CountedMean(total, count))
        return total

    @torch.no_grad()
    def validate(self, samples: Sequence[ClipSample], epoch: int) -> dict[str, float]:
        """Compute losses and metrics on the samples.

        Args:
            samples: the clips.
            epoch: number of the epoch, which determines lambda.

        Returns:
            means over the clips; `val_score`, the mean of class accuracy and exact match of captions, or the one there
            is.
        """
        self.model.eval()
        self.group.broadcast(self.model.buffers())  # the running statistics are those of the first process
        means = self.epoch_means()
        for batch in self.batches_of_rank(samples):
            output, labels, captions = self._forward(batch)
            if len(labels):
                self._add_losses(output, labels, captions, means, epoch)
                self._add_exact_match(output, captions, means)
        self.share_unreadable()
        values = means.means("val")
        scores = [values[name] for name in ("val_class_accuracy", "val_exact_match") if name in values]
        return {**values, "val_score": sum(scores) / len(scores) if scores else 0.0}

    def _add_exact_match(
        self, output: RecognizerOutput, captions: Int64[Tensor, "clips length"], means: EpochMeans
    ) -> None:
        """Add the share of captions that greedy decoding reproduces, padding included."""
        if self.model.decoder is None:
            return
        with autocast(self.device, self.config.precision):
            _, generated = self.model.decoder.generate(output.features, GO, captions.shape[1])
        matches = (generated == captions).all(1)
        count = torch.full((), len(matches), dtype=torch.int64, device=self.device)
        means.add("exact_match", CountedMean(matches.float().mean(), count))

    def _forward(self, batch: ClipBatch) -> tuple[RecognizerOutput, Int64[Tensor, " clips"], Int64[Tensor, "clips _"]]:
        """Return outputs and targets of the readable clips of a batch."""
        labels, captions = self._targets(batch)
        # All rows pass the network, so that the batch statistics do not depend on which of them are readable.
        inputs = None
        if self.model.decoder is not None:
            inputs = torch.full((len(batch.samples), captions.shape[1]), GO, device=self.device)
            inputs[batch.is_readable, 1:] = captions[:, :-1]
        with autocast(self.device, self.config.precision):
            output: RecognizerOutput = self.model(batch.pixels, inputs)
        if batch.is_complete:
            return output, labels, captions
        mask = batch.is_readable
        classes, tokens = output.class_log_probs, output.token_log_probs
        masked = RecognizerOutput(
            output.features[mask],
            None if classes is None else classes[mask],
            None if tokens is None else tokens[mask],
        )
        return masked, labels, captions

    def _targets(self, batch: ClipBatch) -> tuple[Int64[Tensor, " clips"], Int64[Tensor, "clips _"]]:
        """Return class and caption of the readable clips of a batch."""
        readable = [
            self.data.targets[sample.video]
            for sample, is_readable in zip(batch.samples, batch.is_readable.tolist(), strict=True)
            if is_readable
        ]
        length = self.data.tokens.length if self.data.tokens else 0
        labels = torch.tensor([target.label for target in readable], dtype=torch.int64, device=self.device)
        captions = torch.tensor([target.tokens for target in readable], dtype=torch.int64, device=self.device)
        return labels, captions.reshape(len(readable), length)

"""Time the parts of a step of self-critical training, and compare the reward with METEOR's jar.

A captioner of hidden size 512 with 5,747 ids, as many as the published vocabulary, captions the events of real captions
(ActivityNet Captions, train.json), one video per step. The features are random, with 3,072 channels as in the
reference, one feature row per second. An untrained captioner would hardly ever end its captions. So the biases of the
output layer are the log frequencies of words and ends.

Parts of a step: `sampling` (sampled and greedy captions), `reward` (METEOR of both, in this process, so that nothing
runs at the same time), `backward` (with Adam's step). For comparison, METEOR's jar scores the same pairs one by one.
Start-up times do not count.

    python benchmarks/scst.py --captions ../shared/data/activitynet_captions/train.json
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.captioning.base import Captioner, CaptionerSizes
from pipeline.captioning.caption_scorer import CaptionScorer
from pipeline.captioning.decoding import Greedy, Sampling
from pipeline.captioning.event_lstm import EventLstmCaptioner
from pipeline.captioning.rewards import RewardFunction, RewardTokenizer
from pipeline.captioning.scst import leave_one_out_baseline, policy_loss
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.config.captioners import EventLstmSettings
from pipeline.config.finetune_scst import RewardWeights
from pipeline.datasets.text import split_words
from pipeline.datasets.vocabulary import EOS, Vocabulary
from pipeline.evaluation.meteor import JarMeteor, Meteor
from pipeline.evaluation.meteor.formula import MeteorScorer, Pair, Stats
from pipeline.evaluation.tokenizer import tokenize
from pipeline.training.device import resolve_device

import numpy as np
import torch
from torch import nn

PARTS = ("sampling", "reward", "backward")
MAX_SHARE = 0.25
"""Largest share of a step that the reward may take."""
MAX_WORDS = 28


class Clock:
    """Measures the seconds of each part of each step.

    Args:
        device: device to wait for before the time is taken.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = {part: [] for part in (*PARTS, "jar")}
        self._start = 0.0

    def start(self) -> None:
        """Start the first part."""
        self._start = self._now()

    def stop(self, part: str) -> None:
        """Stop a part; the next one starts."""
        now = self._now()
        self.seconds[part].append(now - self._start)
        self._start = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class PairRecordingMeteor(MeteorScorer):
    """Records the pairs that METEOR scores.

    Args:
        meteor: computes the statistics.
    """

    def __init__(self, meteor: Meteor) -> None:
        self._meteor = meteor
        self.pairs: list[Pair] = []

    def statistics(self, pairs: Sequence[Pair]) -> Stats:
        """Compute the statistics of each pair."""
        self.pairs.extend(pairs)
        return self._meteor.statistics(pairs)


def make_batch(duration: float, times: Sequence[Sequence[float]], dim: int) -> EventBatch:
    """Make a batch of the events of one video, with random features, one feature row per second."""
    num_rows = max(1, int(duration))
    relative = torch.tensor(times).clamp(0, duration) / duration
    first = (relative[:, 0] * num_rows).long().clamp_max(num_rows - 1)
    event_rows = torch.stack([first, torch.maximum((relative[:, 1] * num_rows).ceil().long(), first + 1)], 1)
    lengths = (relative[:, 1] - relative[:, 0]).clamp_min(0.1 / duration)
    stream = BatchStream(torch.randn(1, num_rows, dim), torch.tensor([num_rows]), event_rows)
    relative_times = torch.stack([relative[:, 0], relative[:, 1], lengths], 1)
    return EventBatch({"features": stream}, torch.zeros(len(times), dtype=torch.int64), relative_times)


def build_captioner(vocabulary: Vocabulary, sentences: Sequence[str], dim: int, hidden: int) -> Captioner:
    """Build a captioner whose words and ends are as frequent as in the sentences."""
    sizes = CaptionerSizes({"features": dim}, vocabulary.size, MAX_WORDS)
    captioner = EventLstmCaptioner(sizes, EventLstmSettings(hidden=hidden))
    occurrences = Counter(number for sentence in sentences for number in vocabulary.encode(sentence, MAX_WORDS))
    counts = torch.tensor([float(occurrences[number]) for number in range(vocabulary.size)]).clamp_min(0.5)
    counts[EOS] = len(sentences)
    with torch.no_grad():
        captioner.word_lstm.output.bias.copy_(counts.log())
    return captioner


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--captions", type=Path, required=True, help="ActivityNet Captions, train.json")
    arguments.add_argument("--steps", type=int, default=30, help="number of timed steps, one video each")
    arguments.add_argument("--samples", type=int, default=1, help="samples per event")
    arguments.add_argument("--baseline", choices=["greedy", "samples"], default="greedy", help="as in finetune_scst")
    arguments.add_argument("--dim", type=int, default=3072, help="channels of the features")
    arguments.add_argument("--hidden", type=int, default=512, help="size of all hidden layers")
    arguments.add_argument("--vocabulary", type=int, default=5747, help="number of ids")
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device of the captioner")
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads")
    return arguments.parse_args()


def main() -> None:
    """Run the steps and print the median of each part."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = resolve_device(args.device)
    videos = list(json.loads(args.captions.read_text(encoding="utf-8")).values())
    texts = [sentence for video in videos for sentence in video["sentences"]]
    occurrences = Counter(word for sentence in texts for word in split_words(sentence))
    vocabulary = Vocabulary(word for word, _ in occurrences.most_common(args.vocabulary - 2))
    captioner = build_captioner(vocabulary, texts, args.dim, args.hidden).to(device)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=3e-5)
    videos = [videos[index] for index in torch.randperm(len(videos))[: args.steps + 1].tolist()]
    sentences = [sentence for video in videos for sentence in video["sentences"]]
    clock = Clock(device)

    with Meteor() as meteor, JarMeteor() as jar:
        tokenizer = RewardTokenizer.from_words(CaptionScorer(meteor.score, tokenize, vocabulary, sentences))
        recorder = PairRecordingMeteor(meteor)
        reward = RewardFunction(tokenizer, RewardWeights(), recorder, sentences)
        jar.score([("a", "a")])
        difference = 0.0
        for video in videos:
            batch = make_batch(video["duration"], video["timestamps"], args.dim).to(device)
            recorder.pairs.clear()
            rewards = run_step(captioner, optimizer, batch, video["sentences"], reward, clock, args)
            clock.start()
            jar_scores = [jar.score([pair])[0] for pair in recorder.pairs]
            clock.stop("jar")
            difference = max(difference, float(np.abs(np.array(rewards) - jar_scores).max()))
    report(clock, len(sentences) / len(videos), vocabulary.size, device, difference)


def run_step(
    captioner: Captioner,
    optimizer: torch.optim.Optimizer,
    batch: EventBatch,
    sentences: list[str],
    reward: RewardFunction,
    clock: Clock,
    args: argparse.Namespace,
) -> list[float]:
    """Run one step of training, part by part; return the rewards of samples and greedy captions."""
    clock.start()
    sampled = captioner.generate(batch.repeat(args.samples), Sampling(1.0))
    captions, references = sampled.token_ids(), sentences * args.samples
    if args.baseline == "greedy":
        captions += captioner.generate(batch, Greedy()).token_ids()
        references = references + sentences
    clock.stop("sampling")
    rewards = reward(captions, references)
    clock.stop("reward")
    by_caption = torch.tensor(rewards, dtype=torch.float64).view(-1, len(sentences))
    of_samples = by_caption[: args.samples]
    base = by_caption[args.samples :] if args.baseline == "greedy" else leave_one_out_baseline(of_samples)
    loss = policy_loss(sampled.log_probs, sampled.mask, (of_samples - base).flatten().to(sampled.log_probs))
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_value_(captioner.parameters(), 100.0)
    optimizer.step()
    clock.stop("backward")
    return rewards


def report(clock: Clock, events: float, num_ids: int, device: torch.device, difference: float) -> None:
    """Print the medians over all steps but the first."""
    medians = {part: statistics.median(seconds[1:]) for part, seconds in clock.seconds.items()}
    step = sum(medians[part] for part in PARTS)
    print(f"{len(clock.seconds['jar']) - 1} steps of {events:.1f} events, {num_ids:,} ids, {device.type}; medians")
    for part in PARTS:
        print(f"{part:30}{medians[part] * 1000:9.1f} ms {medians[part] / step:7.1%} of the step")
    jar = medians["jar"]
    print(f"{'the jar, pair by pair':30}{jar * 1000:9.1f} ms {jar / medians['reward']:7.1f} times the reward")
    print(f"largest difference of rewards {difference:.1e}")
    if difference > 1e-12:
        raise SystemExit("the built-in METEOR and the jar differ")
    if medians["reward"] > MAX_SHARE * step:
        raise SystemExit(f"missed: the reward takes more than {MAX_SHARE:.0%} of a step")


if __name__ == "__main__":
    main()

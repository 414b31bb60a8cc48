"""Where a step of self-critical training spends its time: sampling, reward, backward; and METEOR's jar beside it.

A captioner of hidden size 512 with 5,747 ids, as many as the published vocabulary has, captions the events of real
captions (ActivityNet Captions, train.json) from random features of 3,072 channels, as the reference has them, one clip
a second. A captioner that has learned nothing would hardly ever end its captions; this one knows how frequent words and
ends are. One video a step.

Per step: `sampling` (samples and greedy captions), `reward` (METEOR of both, in this process, so that nothing hides
behind anything), `backward` (with Adam's step). Beside it the plain use of METEOR's jar on the same pairs: one after
another, each asked and answered. Starting is not counted, neither the jar's nor ours.

"""

import argparse
import json
import statistics
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.captioning.data import Batch
from pipeline.captioning.decoding import greedy, sample
from pipeline.captioning.event_captioner import Architecture, Captioner
from pipeline.captioning.reward_workers import Counter, Crew
from pipeline.captioning.rewards import Rewards, Strings
from pipeline.captioning.scst import of_others, policy_loss, repeated, said
from pipeline.captioning.validation import Judge
from pipeline.config.finetune_scst import Weights
from pipeline.datasets.text import words
from pipeline.datasets.vocabulary import Vocabulary
from pipeline.evaluation.meteor import JarMeteor, Meteor
from pipeline.evaluation.meteor.formula import Pair
from pipeline.evaluation.tokenizer import tokenize
from pipeline.training.device import pick

PARTS = ("sampling", "reward", "backward")
AIM = 0.25
"""Of a step, the reward at most."""
MAX_WORDS = 28


class Clock:
    """Seconds of each part of each step.

    Args:
        device: waited for before the time is taken.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, list[float]] = {part: [] for part in (*PARTS, "jar")}
        self._since = 0.0

    def start(self) -> None:
        """From here on."""
        self._since = self._now()

    def stop(self, part: str) -> None:
        """Until here; the next part begins."""
        now = self._now()
        self.seconds[part].append(now - self._since)
        self._since = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def batch_of(duration: float, times: Sequence[Sequence[float]], dim: int) -> Batch:
    """The events of one video, with random features, one clip a second."""
    clips = max(1, int(duration))
    parts = torch.tensor(times).clamp(0, duration) / duration
    first = (parts[:, 0] * clips).long().clamp_max(clips - 1)
    rows = torch.stack([first, torch.maximum((parts[:, 1] * clips).ceil().long(), first + 1)], 1)
    spans = torch.stack([parts[:, 0], parts[:, 1], (parts[:, 1] - parts[:, 0]).clamp_min(0.1 / duration)], 1)
    return Batch(torch.randn(1, clips, dim), torch.zeros(len(times), dtype=torch.int64), rows, spans)


def knowing_frequencies(vocabulary: Vocabulary, sentences: Sequence[str], dim: int, hidden: int) -> Captioner:
    """A captioner that says words, and ends, as often as the sentences do."""
    captioner = Captioner(Architecture(dim, hidden, vocabulary.size, MAX_WORDS, 0.5))
    tally = Tally(number for sentence in sentences for number in vocabulary.encode(sentence, MAX_WORDS))
    counts = torch.tensor([float(tally[number]) for number in range(vocabulary.size)]).clamp_min(0.5)
    counts[0] = len(sentences)
    outputs = [layer for layer in captioner.modules() if isinstance(layer, nn.Linear)]
    [scores] = [layer for layer in outputs if layer.out_features == vocabulary.size]
    with torch.no_grad():
        scores.bias.copy_(counts.log())
    return captioner


def main() -> None:
    """Run the steps, and say the median of each part."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--captions", type=Path, required=True, help="ActivityNet Captions, train.json")
    arguments.add_argument("--steps", type=int, default=30, help="that are timed, one video each")
    arguments.add_argument("--samples", type=int, default=1, help="of each event")
    arguments.add_argument("--baseline", choices=["greedy", "samples"], default="greedy", help="see finetune_scst")
    arguments.add_argument("--dim", type=int, default=3072, help="channels of the features")
    arguments.add_argument("--hidden", type=int, default=512, help="size of all hidden layers")
    arguments.add_argument("--vocabulary", type=int, default=5747, help="ids")
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where")
    arguments.add_argument("--threads", type=int, default=1, help="of the CPU")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = pick(args.device)
    videos = list(json.loads(args.captions.read_text(encoding="utf-8")).values())
    texts = [sentence for video in videos for sentence in video["sentences"]]
    tally = Tally(word for sentence in texts for word in words(sentence))
    vocabulary = Vocabulary(word for word, _ in tally.most_common(args.vocabulary - 2))
    captioner = knowing_frequencies(vocabulary, texts, args.dim, args.hidden).to(device)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=3e-5)
    chosen = [videos[index] for index in torch.randperm(len(videos))[: args.steps + 1].tolist()]
    sentences = [sentence for video in chosen for sentence in video["sentences"]]
    clock = Clock(device)

    with Meteor() as meteor, JarMeteor() as jar:
        strings = Strings.of_words(Judge(meteor.score, tokenize, vocabulary, sentences))
        known = [*strings.tokens, *strings.references.values()]
        pairs: list[Pair] = []
        with Crew(Counter(lambda: meteor, None, known), 0) as crew:

            def ask(asked: Sequence[Pair]) -> Callable:
                pairs.extend(asked)
                return crew.ask(asked)

            rewards = Rewards(strings, Weights(), ask)
            crew.ask([])()
            jar.score([("a", "a")])
            differences = 0.0
            for video in chosen:
                batch = batch_of(video["duration"], video["timestamps"], args.dim).to(device)
                pairs.clear()
                found = step(captioner, optimizer, batch, video["sentences"], rewards, clock, args)
                clock.start()
                plain = [jar.score([pair])[0] for pair in pairs]
                clock.stop("jar")
                differences = max(differences, *(abs(a - b) for a, b in zip(found, plain, strict=True)))
    report(clock, len(sentences) / len(chosen), vocabulary.size, device, differences)


def step(
    captioner: Captioner,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    sentences: list[str],
    rewards: Rewards,
    clock: Clock,
    args: argparse.Namespace,
) -> list[float]:
    """One step of training, part by part; gives the rewards of samples and of greedy captions."""
    clock.start()
    drawn = sample(captioner, repeated(batch, args.samples), 1.0)
    captions, references = said(drawn), sentences * args.samples
    if args.baseline == "greedy":
        captions, references = captions + said(greedy(captioner, batch)), references + sentences
    clock.stop("sampling")
    found = rewards(captions, references)()
    clock.stop("reward")
    worth: Tensor = torch.tensor(found, dtype=torch.float64).view(-1, len(sentences))
    sampled = worth[: args.samples]
    base = worth[args.samples :] if args.baseline == "greedy" else of_others(sampled)
    loss = policy_loss(drawn.log_probs, drawn.mask, (sampled - base).flatten().to(drawn.log_probs))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(captioner.parameters(), 100.0)
    optimizer.step()
    clock.stop("backward")
    return found


def report(clock: Clock, events: float, ids: int, device: torch.device, differences: float) -> None:
    """Medians over the steps, without the first one."""
    medians = {part: statistics.median(seconds[1:]) for part, seconds in clock.seconds.items()}
    whole = sum(medians[part] for part in PARTS)
    print(f"{len(clock.seconds['jar']) - 1} steps of {events:.1f} events, {ids:,} ids, {device.type}; medians")
    for part in PARTS:
        print(f"{part:30}{medians[part] * 1000:9.1f} ms {medians[part] / whole:7.1%} of the step")
    plain = medians["jar"]
    print(f"{'the jar, pair by pair':30}{plain * 1000:9.1f} ms {plain / medians['reward']:7.1f} times the reward")
    print(f"largest difference of rewards {differences:.1e}")
    if differences > 1e-12:
        raise SystemExit("the two METEORs differ")
    if medians["reward"] > AIM * whole:
        raise SystemExit(f"missed: the reward is to take at most {AIM:.0%} of a step")


if __name__ == "__main__":
    main()

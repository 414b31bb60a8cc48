"""Time the decoding of clip captioners: the Transformer's beam search with its cache, and NACF.

A batch of clips of 28 rows in three streams (as MSR-VTT's: 128, 2,048 and 512 channels) is captioned by captioners of
the published size with random weights. Their captions never end, so that each has the maximum number of words. The
output weights are multiplied, so that candidates of the search do not tie.

    transformer, cached   keys and values of earlier words are kept
    transformer, plain    all earlier words are read again for each word, as the published code does
    nacf, teacher         template and five passes for each of six lengths, selected by ARB
    nacf, one length      the same for one length, without a teacher

Both sides of the Transformer must write the same captions.

    python benchmarks/clip_captioners.py
"""

import argparse
import time
from dataclasses import dataclass

from pipeline.captioning.base import CaptionerSizes, DecodingStrategy
from pipeline.captioning.captions import Captions
from pipeline.captioning.clip.autoregressive import TransformerCaptioner
from pipeline.captioning.clip.captioner import ClipCaptioner
from pipeline.captioning.clip.nacf import NacfCaptioner
from pipeline.captioning.decoding import BeamSearch, Greedy
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.config.captioners import NacfSettings, TransformerSettings
from pipeline.training.device import resolve_device

import torch
from plain_transformer import PlainTransformerCaptioner

STREAMS = {"audio": 128, "motion": 2048, "image": 512}
NUM_ROWS = 28
MAX_WORDS = 28
LENGTHS = 6
"""Lengths that NACF tries."""
SHARPNESS = 10.0
"""The output weights are multiplied by this."""
MIN_RATIO = 2.0
"""How many times as fast the cache must be."""


@dataclass
class Side:
    """A captioner and its best time.

    Attributes:
        name: as it is printed.
        captioner: the captioner.
        strategy: how it decodes.
        best_s: shortest time of a batch so far [s]; on a CPU, time of processor.
    """

    name: str
    captioner: ClipCaptioner
    strategy: DecodingStrategy
    best_s: float = float("inf")

    def caption(self, batch: EventBatch) -> Captions:
        """Caption the batch, and keep the time."""
        start = _now(batch)
        captions = self.captioner.generate(batch, self.strategy)
        self.best_s = min(self.best_s, _now(batch) - start)
        return captions


def _now(batch: EventBatch) -> float:
    if batch.sequence_index.device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()  # other processes do not lengthen it


def make_batch(num_clips: int) -> EventBatch:
    """Make clips of random features."""
    rows = torch.tensor([[0, NUM_ROWS]] * num_clips)
    streams = {
        name: BatchStream(torch.randn(num_clips, NUM_ROWS, dim), rows[:, 1], rows) for name, dim in STREAMS.items()
    }
    return EventBatch(streams, torch.arange(num_clips), torch.tensor([[0.0, 1.0, 1.0]] * num_clips))


def build_sides(hidden: int, vocabulary: int, beam: int, device: torch.device) -> list[Side]:
    """Build the captioners; the two Transformers have the same weights."""
    sizes = CaptionerSizes(STREAMS, vocabulary, MAX_WORDS)
    settings = TransformerSettings(hidden=hidden)
    cached, plain = TransformerCaptioner(sizes, settings), PlainTransformerCaptioner(sizes, settings)
    plain.load_state_dict(cached.state_dict())
    with_teacher = NacfCaptioner(sizes, NacfSettings(hidden=hidden, teacher="arb", lengths=LENGTHS))
    one_length = NacfCaptioner(sizes, NacfSettings(hidden=hidden, lengths=1))
    sides = [
        Side("transformer, cached", cached, BeamSearch(beam, 1.0)),
        Side("transformer, plain", plain, BeamSearch(beam, 1.0)),
        Side("nacf, teacher", with_teacher, Greedy()),
        Side("nacf, one length", one_length, Greedy()),
    ]
    for side in sides:
        with torch.no_grad():
            side.captioner.output.weight.mul_(SHARPNESS)  # type: ignore[operator]  # each has an output layer
        side.captioner.to(device).eval()
    return sides


def main() -> None:
    """Run all sides in turn, several times, and print the best time of each."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clips", type=int, default=64, help="clips per batch")
    arguments.add_argument("--rounds", type=int, default=2, help="rounds; the best time of each side counts")
    arguments.add_argument("--hidden", type=int, default=512, help="size of all layers")
    arguments.add_argument("--vocabulary", type=int, default=10_000, help="number of ids")
    arguments.add_argument("--beam", type=int, default=5, help="width of the beam search")
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to compute on")
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = arguments.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = resolve_device(args.device)
    sides = build_sides(args.hidden, args.vocabulary, args.beam, device)
    cached, plain = sides[:2]
    batch, num_equal = make_batch(args.clips).to(device), args.clips
    for _ in range(args.rounds):
        captions = {side.name: side.caption(batch).word_ids() for side in sides}
        pairs = zip(captions[cached.name], captions[plain.name], strict=True)
        num_equal = min(num_equal, sum(one == other for one, other in pairs))
    print(f"{args.clips} clips, {args.hidden} hidden, {args.vocabulary} ids, beam {args.beam}, {device.type}")
    for side in sides:
        words = sum(map(len, captions[side.name])) / args.clips
        print(f"{side.name:20} {side.best_s:8.2f} s {args.clips / side.best_s:8.1f} clips/s {words:6.1f} words")
    ratio = plain.best_s / cached.best_s
    print(f"ratio                {ratio:8.1f}   equal captions {num_equal} of {args.clips}")
    if num_equal < args.clips:
        raise SystemExit("the cache changes captions")
    if ratio < MIN_RATIO:
        raise SystemExit(f"missed: the cache is {ratio:.1f} times as fast, the aim is {MIN_RATIO}")


if __name__ == "__main__":
    main()

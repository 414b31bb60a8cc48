"""Time the evaluation of dense captions, and compare it with a plain run of the official algorithm on the same files.

The plain run does what densevid_eval does, through pycocoevalcap. At each tIoU it pairs captions and references one by
one. For each of BLEU, METEOR, ROUGE-L and CIDEr it tokenizes all pairs again and scores video by video. Each side is a
process of its own; their scores are compared. METEOR's table of paraphrases is put into the cache before the
measurement (its first use on a machine takes about ten seconds longer).

    python benchmarks/evaluate.py --predictions captions.json --references val_1.json val_2.json
    python benchmarks/evaluate.py --clips 2990

With --clips the captions are made: so many clips with 20 references each, scored by COCO's protocol.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.evaluation.meteor.paraphrases import ParaphraseTable

from clip_captions import score_clips_officially, write_made_clips

METRICS = ("METEOR", "CIDEr", "Bleu", "ROUGE_L")
GARBAGE = "qzvxjkwqpfgbz"
"""Reference of a caption that overlaps no event; the official evaluator draws a random word."""
MAX_DIFFERENCE = 1e-9
"""Largest difference of the scores of both sides."""


def score_officially(
    predictions_file: Path, reference_files: list[Path], tious: list[float]
) -> dict[str, dict[str, float]]:
    """Score captions by the official algorithm of 2021, word for word, with one fixed garbage word.

    Returns:
        scores by metric and tIoU.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    predictions = json.loads(predictions_file.read_text())["results"]
    references = [json.loads(path.read_text()) for path in reference_files]
    videos = sorted(set().union(*references))
    scorers = [
        (Bleu(4), [f"Bleu_{order}" for order in range(1, 5)]),
        (Meteor(), ["METEOR"]),
        (Rouge(), ["ROUGE_L"]),
        (Cider(), ["CIDEr"]),
    ]
    scores: dict[str, dict[str, float]] = {}
    for tiou in tious:
        captions, sentences, pairs_by_video = pair_captions(predictions, references, videos, tiou)
        for scorer, names in scorers:
            tokenizer = PTBTokenizer()
            caption_tokens, sentence_tokens = tokenizer.tokenize(captions), tokenizer.tokenize(sentences)
            totals = [0.0] * len(names)
            for pairs in pairs_by_video.values():
                if pairs:
                    sides = ({pair: tokens[pair] for pair in pairs} for tokens in (sentence_tokens, caption_tokens))
                    options = {"verbose": 0} if isinstance(scorer, Bleu) else {}
                    score, _ = scorer.compute_score(*sides, **options)
                    values = score if len(names) > 1 else [score]
                    totals = [total + value for total, value in zip(totals, values, strict=True)]
            for name, total in zip(names, totals, strict=True):
                scores.setdefault(name, {})[str(tiou)] = total / len(videos)
    return scores


def pair_captions(
    predictions: dict[str, Any], references: list[dict[str, Any]], videos: list[str], tiou: float
) -> tuple[dict[int, Any], dict[int, Any], dict[str, list[int]]]:
    """Pair each caption with every sentence whose event it overlaps, or with a garbage word if there is none.

    Returns:
        captions by the number of their pair; sentences by the number of their pair; numbers of the pairs by video.
    """
    captions: dict[int, Any] = {}
    sentences: dict[int, Any] = {}
    pairs_by_video: dict[str, list[int]] = {video: [] for video in videos}
    for video in videos:
        for caption in predictions.get(video, [])[:1000]:
            matches = [
                sentence
                for reference in references
                if video in reference
                for sentence, times in zip(reference[video]["sentences"], reference[video]["timestamps"], strict=True)
                if compute_tiou(caption["timestamp"], times) >= tiou
            ]
            for sentence in matches or [GARBAGE]:
                pair = len(captions)
                pairs_by_video[video].append(pair)
                captions[pair] = [{"caption": re.sub(r"[^\x00-\x7f]", " ", caption["sentence"])}]
                sentences[pair] = [{"caption": re.sub(r"[^\x00-\x7f]", " ", sentence)}]
    return captions, sentences, pairs_by_video


def compute_tiou(first: list[float], second: list[float]) -> float:
    """Compute the temporal intersection over union as densevid_eval does."""
    intersection = max(0, min(first[1], second[1]) - max(first[0], second[0]))
    union = min(max(first[1], second[1]) - min(first[0], second[0]), first[1] - first[0] + second[1] - second[0])
    return intersection / (union + 1e-8)


def resident_memory(process: int) -> int:
    """Return the memory of a process and of all its descendants [bytes]; shared memory counts once per process."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
        children = [
            child for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
        ]
    except OSError:  # the process has ended meanwhile
        return 0
    return int(fields[1]) * 4096 + sum(resident_memory(int(child)) for child in children)


class Usage(NamedTuple):
    """What a command used.

    Attributes:
        seconds: time on the clock [s].
        cpu_seconds: time of all processors together [s].
        peak_bytes: peak memory [bytes].
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command: list[str]) -> Usage:
    """Run a command and measure what it uses.

    Raises:
        SystemExit: the command failed.
    """
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak_bytes, has_ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak_bytes
        while not has_ended.wait(0.02):
            peak_bytes = max(peak_bytes, resident_memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    seconds = time.perf_counter() - start
    has_ended.set()
    watcher.join()
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(seconds, cpu_seconds, peak_bytes)


def main() -> None:
    """Run both sides and print what each of them used."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--predictions", type=Path, help="captions in submission format")
    arguments.add_argument("--references", type=Path, nargs="+", help="one file per annotator")
    arguments.add_argument("--clips", type=int, help="number of made clips, instead of files")
    arguments.add_argument("--tious", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9], help="thresholds")
    arguments.add_argument("--workers", type=int, default=2, help="threads of METEOR in pipeline.evaluate")
    # The script runs itself with this option: the official algorithm in a process of its own.
    arguments.add_argument("--official-scores", type=Path, help=argparse.SUPPRESS)
    args = arguments.parse_args()
    if args.clips is None and not (args.predictions and args.references):
        arguments.error("give --predictions and --references, or --clips")
    if args.official_scores:
        if args.clips:
            official: Any = score_clips_officially(args.predictions, args.references[0])
        else:
            official = score_officially(args.predictions, args.references, args.tious)
        args.official_scores.write_text(json.dumps(official))
        return
    ParaphraseTable.open()
    with tempfile.TemporaryDirectory() as folder:
        if args.clips:
            args.predictions, reference_file = write_made_clips(Path(folder), args.clips)
            args.references = [reference_file]
        scores, official_scores = compare_sides(args, Path(folder))
    differences = (
        list_clip_differences(scores, official_scores)
        if args.clips
        else [abs(scores[name][tiou] - value) for name, row in official_scores.items() for tiou, value in row.items()]
    )
    print(f"largest difference   {max(differences):8.1e} in {len(differences)} scores")
    if max(differences) > MAX_DIFFERENCE:
        raise SystemExit("the scores differ")


def compare_sides(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run both sides, print what each used, and return the scores of both."""
    pipeline_file, official_file = folder / "pipeline.json", folder / "official.json"
    files = ["--predictions", str(args.predictions), "--references", *map(str, args.references)]
    tious = ["--tious", *map(str, args.tious)]
    kind = ["clips"] if args.clips else ["captions", *tious, "--metrics", *METRICS]
    options = [*files, "--workers", str(args.workers), "--output", str(pipeline_file)]
    pipeline_usage = run([sys.executable, "-m", "pipeline.evaluate", *kind, *options])
    print("                         time  of processors  memory")
    print_usage_row("pipeline.evaluate", pipeline_usage)
    official_options = ["--clips", str(args.clips)] if args.clips else tious
    official_usage = run([sys.executable, __file__, *files, *official_options, "--official-scores", str(official_file)])
    print_usage_row("official algorithm", official_usage)
    ratio = official_usage.seconds / pipeline_usage.seconds
    print(f"ratio                {ratio:8.1f}       {official_usage.cpu_seconds / pipeline_usage.cpu_seconds:8.1f}")
    return json.loads(pipeline_file.read_text()), json.loads(official_file.read_text())


def list_clip_differences(scores: dict[str, Any], official_scores: dict[str, float]) -> list[float]:
    """Return the differences of the scores of the set and of every clip."""
    table = scores["per_video"]
    row = {clip: index for index, clip in enumerate(table["video"])}
    differences = []
    for key, value in official_scores.items():
        name, _, clip = key.partition(" of ")
        differences.append(abs((table[name][row[clip]] if clip else scores[name]) - value))
    return differences


def print_usage_row(side: str, usage: Usage) -> None:
    """Print one line of the table."""
    memory = usage.peak_bytes / 1e9
    print(f"{side:20} {usage.seconds:8.1f} s     {usage.cpu_seconds:8.1f} s {memory:5.2f} GB", flush=True)


if __name__ == "__main__":
    main()

"""Time the evaluation of dense captions against a plain run of the official algorithm, on the same files, in one run.

The plain run does what densevid_eval does, through pycocoevalcap: at each tIoU it pairs captions and references one by
one, and for each of BLEU, METEOR, ROUGE-L and CIDEr it tokenizes all pairs again and then scores video by video. Both
sides are processes of their own, and their scores are compared. METEOR's table of paraphrases is in the cache before
the clock starts (the first run of all on a machine takes some ten seconds longer).

    python benchmarks/evaluate.py --predictions captions.json --references val_1.json val_2.json
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
from typing import Any

from pipeline.evaluation.meteor.paraphrases import Paraphrases

METRICS = ("METEOR", "CIDEr", "Bleu", "ROUGE_L")
GARBAGE = "qzvxjkwqpfgbz"


def plain(predictions: Path, references: list[Path], tious: list[float]) -> dict[str, dict[str, float]]:
    """The official algorithm, word for word; its variant of 2021, with a garbage word that is always the same."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    said = json.loads(predictions.read_text())["results"]
    known = [json.loads(path.read_text()) for path in references]
    videos = sorted(set().union(*known))
    scorers = [
        (Bleu(4), [f"Bleu_{order}" for order in range(1, 5)]),
        (Meteor(), ["METEOR"]),
        (Rouge(), ["ROUGE_L"]),
        (Cider(), ["CIDEr"]),
    ]
    found: dict[str, dict[str, float]] = {}
    for tiou in tious:
        captions, sentences, members = pair_up(said, known, videos, tiou)
        for scorer, names in scorers:
            tokenizer = PTBTokenizer()
            spoken, written = tokenizer.tokenize(captions), tokenizer.tokenize(sentences)
            total = [0.0] * len(names)
            for video in videos:
                pairs = members[video]
                if pairs:
                    sides = {pair: written[pair] for pair in pairs}, {pair: spoken[pair] for pair in pairs}
                    options = {"verbose": 0} if isinstance(scorer, Bleu) else {}
                    score, _ = scorer.compute_score(*sides, **options)
                    total = [one + more for one, more in zip(total, score if len(names) > 1 else [score], strict=True)]
            for name, value in zip(names, total, strict=True):
                found.setdefault(name, {})[str(tiou)] = value / len(videos)
    return found


def pair_up(
    said: dict[str, Any], known: list[dict[str, Any]], videos: list[str], tiou: float
) -> tuple[dict[int, Any], dict[int, Any], dict[str, list[int]]]:
    """Captions and references by the number of their pair, and the pairs of each video."""
    captions: dict[int, Any] = {}
    sentences: dict[int, Any] = {}
    members: dict[str, list[int]] = {video: [] for video in videos}
    for video in videos:
        for caption in said.get(video, [])[:1000]:
            met = [
                sentence
                for reference in known
                if video in reference
                for sentence, times in zip(reference[video]["sentences"], reference[video]["timestamps"], strict=True)
                if overlap(caption["timestamp"], times) >= tiou
            ]
            for sentence in met or [GARBAGE]:
                pair = len(captions)
                members[video].append(pair)
                captions[pair] = [{"caption": re.sub(r"[^\x00-\x7f]", " ", caption["sentence"])}]
                sentences[pair] = [{"caption": re.sub(r"[^\x00-\x7f]", " ", sentence)}]
    return captions, sentences, members


def overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union, as densevid_eval computes it."""
    intersection = max(0, min(one[1], other[1]) - max(one[0], other[0]))
    union = min(max(one[1], other[1]) - min(one[0], other[0]), one[1] - one[0] + other[1] - other[0])
    return intersection / (union + 1e-8)


def resident(process: int) -> int:
    """Memory of a process and of all that it has started, bytes; what is shared between them counts each time."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
        children = [
            child for file in Path(f"/proc/{process}/task").glob("*/children") for child in file.read_text().split()
        ]
    except OSError:  # it has ended meanwhile
        return 0
    return int(fields[1]) * 4096 + sum(resident(int(child)) for child in children)


def run(command: list[str]) -> tuple[float, float, int]:
    """Seconds, seconds of all processors together, and peak memory (bytes) of a command."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            peak = max(peak, resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with status {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


def main() -> None:
    """Run both sides and say what each took."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--predictions", type=Path, required=True, help="captions in submission format")
    arguments.add_argument("--references", type=Path, nargs="+", required=True, help="one file per annotator")
    arguments.add_argument("--tious", type=float, nargs="+", default=[0.3, 0.5, 0.7, 0.9], help="thresholds")
    arguments.add_argument("--workers", type=int, default=2, help="threads of METEOR on our side")
    arguments.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # the side that this script runs in a process
    args = arguments.parse_args()
    if args.plain:
        args.plain.write_text(json.dumps(plain(args.predictions, args.references, args.tious)))
        return
    files = ["--predictions", str(args.predictions), "--references", *map(str, args.references)]
    tious = ["--tious", *map(str, args.tious)]
    Paraphrases.open()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.json", Path(folder) / "plain.json"
        options = [*files, *tious, "--metrics", *METRICS, "--workers", str(args.workers), "--output", str(ours)]
        quick = run([sys.executable, "-m", "pipeline.evaluate", "captions", *options])
        print("                         time  of processors  memory")
        print(f"pipeline.evaluate    {quick[0]:8.1f} s     {quick[1]:8.1f} s {quick[2] / 1e9:5.2f} GB", flush=True)
        slow = run([sys.executable, __file__, *files, *tious, "--plain", str(theirs)])
        print(f"official algorithm   {slow[0]:8.1f} s     {slow[1]:8.1f} s {slow[2] / 1e9:5.2f} GB")
        print(f"ratio                {slow[0] / quick[0]:8.1f}       {slow[1] / quick[1]:8.1f}")
        got, wanted = json.loads(ours.read_text()), json.loads(theirs.read_text())
    differences = [abs(got[name][tiou] - value) for name, row in wanted.items() for tiou, value in row.items()]
    print(f"largest difference   {max(differences):8.1e} in {len(differences)} scores")
    if max(differences) > 1e-9:
        raise SystemExit("the scores differ")


if __name__ == "__main__":
    main()

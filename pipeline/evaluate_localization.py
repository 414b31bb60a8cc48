r"""Score the detections of actions: mean average precision, or the average recall of their segments.

In: the corpus, detections of the stage `localize_actions`.
Out: for `--task detections` mAP at each tIoU threshold and their mean; for `--task proposals` AR@1, 5, 10, 100 and AUC
of the segments without classes. Fractions, not percent. Counts, scores of each video.

Alone:
    python -m pipeline.evaluate_localization --task detections --corpus results/demo/corpus/manifest.json \
        --detections results/demo/detections/gtad.json --split test --output /tmp/detections.json
"""

from pathlib import Path

import numpy as np

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.evaluate_localization import EvaluateLocalization
from pipeline.datasets.corpus import Corpus
from pipeline.evaluation.detections import format_detections
from pipeline.evaluation.evaluator import write_result
from pipeline.evaluation.localization_result import score_localization
from pipeline.evaluation.proposals import format_proposals
from pipeline.evaluation.segments import read_scored_segments
from pipeline.provenance.computation import Computation

STAGE = "evaluate_localization"
TASKS = {"detections": format_detections, "proposals": format_proposals}
"""Task -> the function that formats its result."""


def evaluate(
    config: EvaluateLocalization, *, task: str, corpus_manifest: Path, detections: Path, split: str, output: Path
) -> None:
    """Score detections and write the result.

    Args:
        config: the section.
        task: one of `TASKS`.
        corpus_manifest: manifest of the corpus.
        detections: in ActivityNet's format.
        split: split to score; `test` stands for `config.test_splits`.
        output: result to write, JSON.
    """
    computation = Computation(STAGE, config, [corpus_manifest, detections], [output], task=task, split=split)
    if computation.restore():
        return
    splits = config.test_splits if split == "test" else [split]
    segments = read_scored_segments(detections, labelled=True)
    scores = score_localization(config, Corpus.open(corpus_manifest), splits, task, segments)
    evaluator = {"name": f"ActivityNet {task}", **config.model_dump(mode="json"), "numpy": np.__version__}
    write_result(output, {**scores, "evaluator": evaluator})
    computation.keep_outputs()
    print(TASKS[task](scores))


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, EvaluateLocalization, STAGE)
    arguments.add_argument("--task", choices=TASKS, required=True, help="what is scored")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--detections", type=Path, required=True, help="detections in ActivityNet's format")
    arguments.add_argument("--split", default="test", help="split to score (default: test)")
    arguments.add_argument("--output", type=Path, required=True, help="result to write, JSON")
    args = arguments.parse_args(argv)
    config = read_config(args.config, EvaluateLocalization, STAGE)
    evaluate(
        config,
        task=args.task,
        corpus_manifest=args.corpus,
        detections=args.detections,
        split=args.split,
        output=args.output,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

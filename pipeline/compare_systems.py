r"""Score the captions of several systems on the same videos, and compare them in pairs.

In:  for each dataset of the comparison (`<dataset>_s<seed>`, or `<dataset>` itself if there are no seeds) its corpus,
     the captions of every system, and the probes of the systems with a feature.
Out: JSON: for each system the scores of its captions (fractions) beside those of the paper (points of 100), and probe
     scores; for each pair of systems the paired differences with 95 % bootstrap intervals over videos; digests, code
     hashes and settings of everything compared. A PNG of the same name shows the scores.

Alone, after the captions of two systems have been generated:

    python -m pipeline.compare_systems --dataset results/demo --output /tmp/scst.json --config '{"systems": [
        {"name": "single", "members": [{"captioner": "sa_tsp", "before_scst": true}]},
        {"name": "scst", "members": [{"captioner": "sa_tsp"}]}]}'
"""

import logging
from pathlib import Path

from pipeline.comparison.origins import STAGE, describe_origins
from pipeline.comparison.scored_datasets import list_inputs, score_datasets
from pipeline.comparison.tables import comparison_markdown, compute_tables
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.compare_systems import ComparisonEntry
from pipeline.evaluation.evaluator import describe_evaluator
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation
from pipeline.provenance.trace import provenance_digest
from pipeline.report.comparison_plot import draw_comparison

log = logging.getLogger(__name__)


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, ComparisonEntry, STAGE)
    arguments.add_argument(
        "--dataset", type=Path, required=True, help="folder results/<dataset>; _s<seed> is appended for each seed"
    )
    arguments.add_argument("--output", type=Path, required=True, help="JSON file to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, ComparisonEntry, STAGE)
    outputs, inputs = [args.output, args.output.with_suffix(".png")], list_inputs(args.dataset, config)
    computation = Computation(STAGE, config, inputs, outputs, provenance=provenance_digest(inputs))
    if computation.restore():
        return 0
    datasets = score_datasets(args.dataset, config)
    result = compute_tables(datasets, config)
    result["evaluator"] = describe_evaluator(
        config.scores, [path for dataset in datasets for path in dataset.scores.references]
    )
    draw_comparison(result, args.output.with_suffix(".png"))
    write_json(args.output, {**result, **describe_origins(datasets, config)})
    computation.keep_outputs()
    print(comparison_markdown(result))
    log.info("%s: %d systems, %d datasets", args.output, len(result["systems"]), len(datasets))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

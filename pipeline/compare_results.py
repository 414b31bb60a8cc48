r"""Compare results: put numbers of result files into tables, published ones beside them.

In: the result files that the rows of a study name, for each of its datasets (`<dataset>_s<seed>`, or `<dataset>` itself
if there are no seeds).
Out: JSON: for each table the numbers of its rows, the mean over seeds and its 95 % interval, the differences of its
pairs, and the published numbers. The same as Markdown (.md) and as a picture (.png).

Alone:
    python -m pipeline.compare_results --config STUDY.json --dataset results/democlips --output /tmp/attributes.json
"""

import logging
from pathlib import Path

from pipeline.comparison.result_tables import compute_result_tables, list_result_files
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.compare_results import ResultsStudy
from pipeline.io.atomic import write_json, write_text
from pipeline.provenance.computation import Computation
from pipeline.report.result_tables import draw_result_tables, result_tables_markdown

STAGE = "compare_results"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, ResultsStudy, STAGE)
    arguments.add_argument(
        "--dataset", type=Path, required=True, help="folder results/<dataset>; _s<seed> is appended for each seed"
    )
    arguments.add_argument("--output", type=Path, required=True, help="JSON file to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, ResultsStudy, STAGE)
    outputs = [args.output, args.output.with_suffix(".md"), args.output.with_suffix(".png")]
    inputs = list_result_files(args.dataset, config)
    computation = Computation(STAGE, config, inputs, outputs)
    if computation.restore():
        return 0
    result = compute_result_tables(args.dataset, config)
    document = result_tables_markdown(result)
    draw_result_tables(result, outputs[2])
    write_text(outputs[1], document)
    write_json(args.output, result)
    computation.keep_outputs()
    print(document)
    logging.info("%s: %d tables of %d result files", args.output, len(result["tables"]), len(inputs))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

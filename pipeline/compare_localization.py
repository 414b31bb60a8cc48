r"""Compare encoders on the tasks of localization: detections, proposals, captions, and what features show of actions.

In: for each dataset of the study (`<dataset>_s<seed>`, or `<dataset>` itself if there are no seeds) its corpus, the
detections and the features of every system; for captions the results of `compare_systems`.
Out: JSON: the scores of each system with 95 % bootstrap intervals over videos, beside the published ones; differences
of pairs. The same as Markdown (.md) and as a picture (.png).

Alone:
    python -m pipeline.compare_localization --dataset results/demo --output /tmp/localization.json
"""

import logging
from pathlib import Path

from pipeline.comparison.localization_study import compute_study, list_study_inputs
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.compare_localization import CompareLocalization
from pipeline.io.atomic import write_json, write_text
from pipeline.provenance.computation import Computation
from pipeline.provenance.trace import provenance_digest
from pipeline.report.localization_study import draw_study, study_markdown

STAGE = "compare_localization"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, CompareLocalization, STAGE)
    arguments.add_argument(
        "--dataset", type=Path, required=True, help="folder results/<dataset>; _s<seed> is appended for each seed"
    )
    arguments.add_argument("--output", type=Path, required=True, help="JSON file to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, CompareLocalization, STAGE)
    outputs = [args.output, args.output.with_suffix(".md"), args.output.with_suffix(".png")]
    inputs = list_study_inputs(args.dataset, config)
    computation = Computation(STAGE, config, inputs, outputs, provenance=provenance_digest(inputs))
    if computation.restore():
        return 0
    result = compute_study(args.dataset, config)
    draw_study(result, outputs[2])
    write_text(outputs[1], study_markdown(result))
    write_json(args.output, result)
    computation.keep_outputs()
    print(study_markdown(result))
    logging.info("%s: %d systems, %d datasets", args.output, len(result["systems"]), len(result["videos"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

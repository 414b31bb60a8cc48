r"""The ladder of the paper's Table 2: what feature combination, more training data, SCST and the ensemble add.

In:  below `<dataset>_s<seed>/`, for each seed of the config, or below `<dataset>/` where it names none: the corpus, and
     captions of ground-truth and learned proposals by every rung: those of its captioner, or those that
     `select_captions` chose from several.
Out: of each rung METEOR, CIDEr, BLEU-4 and SODA_c with 95 % intervals over videos, beside the paper's METEOR; paired
     differences of each rung to the one before; digests of what was compared, and the seconds that it took. JSON,
     fractions (the paper's: points of 100); a picture beside it, PNG.

    python -m pipeline.climb_ladder --dataset results/demo --output /tmp/ladder.json \
        --config '{"rungs": [{"name": "single", "members": [{"captioner": "sa_tsp"}]}, {"name": "ensemble"}]}'
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.comparison.ladder import STAGE, Feet, differences, markdown, origins, read_feet, rungs
from pipeline.config.climb_ladder import ClimbLadder
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.evaluation.evaluator import identity
from pipeline.io.atomic import write_json
from pipeline.provenance.record import record
from pipeline.report.ladder_plot import draw_ladder


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, ClimbLadder, STAGE)
    arguments.add_argument("--dataset", type=Path, required=True, help="results/<dataset>; _s<seed> is added")
    arguments.add_argument("--output", type=Path, required=True, help="ladder to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, ClimbLadder, STAGE)
    feet = read_feet(args.dataset, config)
    found = climb(feet, config)
    draw_ladder(found, args.output.with_suffix(".png"))
    write_json(args.output, {**found, **origins(feet, config)})
    record(args.output, STAGE, config, [path for foot in feet for path in foot.inputs])
    print(markdown(found))
    logging.info("%s: %d rungs, %d corpora", STAGE, len(config.rungs), len(feet))
    return 0


def climb(feet: Feet, config: ClimbLadder) -> dict[str, Any]:
    """All numbers."""
    return {
        "seeds": config.seeds,
        "split": config.split,
        "videos": [len(foot.scored.videos) for foot in feet],
        "rungs": rungs(feet, config),
        "differences": differences(feet, config),
        "evaluator": identity(config.scores, [path for foot in feet for path in foot.scored.references]),
    }


if __name__ == "__main__":
    raise SystemExit(main())

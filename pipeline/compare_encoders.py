r"""Encoders beside one another, each trained on corpora of several seeds: probes, and captions of ground-truth events.

In:  below `<dataset>_s<seed>/`, for each seed of the config: the corpus, the probes of every arm's feature, captions of
     the ground-truth events by a captioner on each feature; and those by the floor's captioner when every video is
     given the features of another (`shuffled`).
Out: for each arm accuracies, concept precision, METEOR and CIDEr; paired differences with 95 % intervals over videos;
     digests of what was compared, and the seconds that it took. JSON, fractions; a picture beside it, PNG.

    python -m pipeline.compare_encoders --dataset results/demo --output /tmp/pretraining.json \
        --config '{"arms": [{"feature": "sa_tsp", "captioner": "sa_tsp"}], "floor": "sa_tsp", "seeds": [1]}'
"""

import logging
from pathlib import Path
from typing import Any

from pipeline.comparison.corpora import Seeds, read_seeds
from pipeline.comparison.origins import origins
from pipeline.comparison.tables import arms, differences, markdown
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.compare_encoders import CompareEncoders
from pipeline.evaluation.evaluator import identity
from pipeline.io.atomic import write_json
from pipeline.provenance.record import record
from pipeline.report.system_plot import draw_arms

STAGE = "compare_encoders"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, CompareEncoders, STAGE)
    arguments.add_argument("--dataset", type=Path, required=True, help="results/<dataset>; _s<seed> is added")
    arguments.add_argument("--output", type=Path, required=True, help="comparison to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, CompareEncoders, STAGE)
    seeds = read_seeds(args.dataset, config)
    found = compare(seeds, config)
    draw_arms(found, args.output.with_suffix(".png"))
    write_json(args.output, {**found, **origins(seeds, config)})
    record(args.output, STAGE, config, [path for seed in seeds for path in seed.inputs])
    print(markdown(found))
    logging.info("%s: %d encoders, %d corpora", STAGE, len(config.arms), len(seeds))
    return 0


def compare(seeds: Seeds, config: CompareEncoders) -> dict[str, Any]:
    """All numbers."""
    table = arms(seeds, config)
    return {
        "seeds": config.seeds,
        "split": config.split,
        "videos": [len(seed.videos) for seed in seeds],
        "arms": table,
        "differences": differences(table, seeds, config),
        "evaluator": identity(config.scores, [path for seed in seeds for path in seed.references]),
    }


if __name__ == "__main__":
    raise SystemExit(main())

r"""Write the trained model into one folder that can be moved and sent, with a model card.

In:  the captions of the ensemble on the split test, with learned proposals, and their scores; concepts and IDF. The
     provenance of the captions leads to all parts: encoders, proposer, captioners, and the settings of each step.
Out: manifest.json; beside it model.json (the description), README.md (the card) and the parts, see docs/own_model.md.
     Published weights are named, not copied.

Alone:
    python -m pipeline.bundle_model --captions results/demo/captions/ensemble-test-learned.json \
        --scores results/demo_test_meteor.json --concepts results/demo/concepts.json --idf results/demo/idf.json \
        --dataset demo --output /tmp/model/manifest.json

`sa-tsp caption` applies the model to any video; `sa-tsp model show` describes it.
"""

import logging
from pathlib import Path

from pipeline.bundle.parts import find_parts
from pipeline.bundle.writing import write_model_folder
from pipeline.config.bundle_model import BundleModel
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.io.atomic import sha256
from pipeline.provenance.record import write_record

STAGE = "bundle_model"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, BundleModel, STAGE)
    arguments.add_argument("--captions", type=Path, required=True, help="captions of the ensemble")
    arguments.add_argument("--scores", type=Path, required=True, help="scores of these captions")
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json")
    arguments.add_argument("--idf", type=Path, required=True, help="idf.json")
    arguments.add_argument("--dataset", required=True, help="name of the dataset, for the card")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write; all files go to its folder")
    args = arguments.parse_args(argv)
    config = read_config(args.config, BundleModel, STAGE)
    parts = find_parts(args.captions)
    files = [args.captions, args.scores, args.concepts, args.idf, *parts.manifests]
    inputs = {path: sha256(path) for path in files} | parts.weights
    texts = [args.concepts, args.idf]
    write_model_folder(parts, config, args.dataset, args.captions, args.scores, texts, args.output)
    write_record(args.output, STAGE, config, inputs)
    logging.info("%s: %d features, %d captioners", args.output.parent, len(parts.features), len(parts.captioners))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

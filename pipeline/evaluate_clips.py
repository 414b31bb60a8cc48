r"""Score the captions of a dataset of clips as COCO's evaluation server does, and write its final result.

In: the corpus and its re-encoded videos; captions of whole clips, perhaps those of the control (features of another
clip); the captioner's vocabulary.
Out: METEOR, CIDEr, BLEU, ROUGE-L and Meta-Sum of the whole split, diversity, the same scores of the control, counts of
clips and rejects, and how everything was made. Clips whose file is missing from the corpus are not scored; clips that
were rejected by re-encoding score as empty captions.

Caption files of other captioners: `sa-tsp evaluate clips`.

Alone:
    python -m pipeline.evaluate_clips --corpus results/democlips/corpus/manifest.json \
        --videos results/democlips/video --captions results/democlips/captions/ensemble-test-gt.json \
        --control results/democlips/captions/ensemble-test-control.json \
        --vocabulary results/democlips/vocabulary.json --output /tmp/scores.json
"""

from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.evaluation.clip_result import STAGE, score_clip_dataset
from pipeline.evaluation.dataset_result import result_inputs
from pipeline.evaluation.evaluator import write_result
from pipeline.evaluation.garbage_collection import pause_garbage_collection
from pipeline.provenance.computation import Computation
from pipeline.provenance.trace import provenance_digest


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, EvaluateClips, STAGE)
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the re-encoded shards")
    arguments.add_argument("--captions", type=Path, required=True, help="captions of whole clips")
    arguments.add_argument("--control", type=Path, help="captions made from features of another clip")
    arguments.add_argument("--vocabulary", type=Path, required=True, help="vocabulary.json of the captioner")
    arguments.add_argument("--split", default="test", help="split to score (default: test)")
    arguments.add_argument("--output", type=Path, required=True, help="result to write, JSON")
    args = arguments.parse_args(argv)
    settings = read_config(args.config, EvaluateClips, STAGE)
    sets = {"gt": args.captions, **({"control": args.control} if args.control else {})}
    inputs = [*result_inputs(args.corpus, args.videos, sets), args.vocabulary]
    computation = Computation(
        STAGE, settings, inputs, [args.output], split=args.split, provenance=provenance_digest(inputs)
    )
    if computation.restore():
        return 0
    with pause_garbage_collection():
        result = score_clip_dataset(settings, args.corpus, args.videos, sets, args.vocabulary, args.split, inputs)
    write_result(args.output, result)
    computation.keep_outputs()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

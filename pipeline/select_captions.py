r"""Select one caption per proposal from those of several captioners (section 1.3 of the paper).

In: captions of the same proposals by every member of the ensemble; the concepts; the IDF of words.
Out: captions in the same format. `selected` names the member of each caption, its number of distinct concepts and its
largest IDF. With `explain: true`, `explained` adds the member's name, the criterion that decided, the concepts, the
word with that IDF, and the captions and scores of the other members.

A word is a concept if it is one of the concept's forms in concepts.json. A word that idf.json lacks has an IDF of 0: a
caption must not win by a word that no training sentence has. A caption without words is never selected if another
member has one with words; it is counted in the log, and `selected` lists its member under `empty`. All members must
caption the same proposals of the same videos, in the same order.

Run it alone:
    python -m pipeline.select_captions --config '{"members": [{"captioner": "a"}, {"captioner": "b"}]}' \
        --concepts concepts.json --idf idf.json --captions a.json b.json --output ensemble.json
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.captioning.ensemble import ConceptLexicon, Ensemble, select_captions
from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.select_captions import SelectCaptions
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import read_predictions
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation

STAGE = "select_captions"


def log_selection(ensemble: Ensemble, names: Sequence[str]) -> None:
    """Log how many captions come from each member, and which are empty."""
    for label, counts in (
        ("captions by member", ensemble.num_selected),
        ("empty captions by member", ensemble.num_empty),
    ):
        if any(counts):
            by_member = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))
            logging.info("%s: %s", label, by_member)
    if ensemble.all_empty:
        video, position = ensemble.all_empty[0]
        logging.warning(
            "every ensemble member produced an empty caption for %d proposals; the first is video %s, caption %d",
            len(ensemble.all_empty),
            video,
            position,
        )


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = build_parser(__doc__)
    add_config(arguments, SelectCaptions, STAGE)
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json")
    arguments.add_argument("--idf", type=Path, required=True, help="idf.json")
    arguments.add_argument(
        "--captions", type=Path, nargs="+", required=True, help="captions of each member, in the order of the config"
    )
    arguments.add_argument("--output", type=Path, required=True, help="captions to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, SelectCaptions, STAGE)
    if len(args.captions) != len(config.members):
        raise PipelineError(
            f"--captions: {len(args.captions)} files, but config: select_captions.members names "
            f"{len(config.members)}; give one file per member"
        )
    computation = Computation(STAGE, config, [args.concepts, args.idf, *args.captions], [args.output])
    if computation.restore():
        return 0
    members = [read_predictions(path) for path in args.captions]
    names = [member.label for member in config.members]
    lexicon = ConceptLexicon.read(args.concepts, args.idf)
    ensemble = select_captions(members, lexicon, config.criteria, names=names if config.explain else None)
    write_json(args.output, ensemble.submission)
    computation.keep_outputs()
    log_selection(ensemble, names)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

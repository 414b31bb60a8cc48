r"""Select one caption per proposal from those of several captioners (section 1.3).

In: captions of the same proposals by every member of the ensemble; the concepts; the IDF of words.
Out: captions in the same format. Each says which member it comes from, and why: `selected` holds the member's
number, its count of distinct concepts and its largest IDF. With `explain: true`, `explained` holds besides the
member's name, what decided, the concepts themselves, the word of that IDF, and what the other members said and had.

A word is a concept if it is one of that concept's forms in concepts.json. A word that idf.json does not know
has an IDF of 0: a caption is not to win by a word that no training sentence holds. A member's caption without
words is never chosen where another member has said something; it is counted in the log, and `selected` names
the member under `empty`. All members must caption the same proposals of the same videos, in the same order.

Alone:
    python -m pipeline.select_captions --config '{"members": [{"captioner": "a"}, {"captioner": "b"}]}' \
        --concepts concepts.json --idf idf.json --captions a.json b.json --output ensemble.json
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from pipeline.captioning.ensemble import Selected, select
from pipeline.captioning.lexicon import Lexicon
from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.select_captions import SelectCaptions
from pipeline.errors import PipelineError
from pipeline.evaluation.predictions import read_predictions
from pipeline.io.atomic import write_json
from pipeline.provenance.record import record

STAGE = "select_captions"


def tell(selected: Selected, names: Sequence[str]) -> None:
    """Say in the log whose captions were chosen, and who said nothing."""
    for what, counts in (("captions by member", selected.shares), ("without words, by member", selected.empty)):
        if any(counts):
            shares = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))
            logging.info("%s: %s", what, shares)
    if selected.silent:
        video, place = selected.silent[0]
        logging.warning(
            "%d proposals have an empty caption, since no member says a word: video %s, caption %d first",
            len(selected.silent),
            video,
            place,
        )


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, SelectCaptions, STAGE)
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json")
    arguments.add_argument("--idf", type=Path, required=True, help="idf.json")
    arguments.add_argument(
        "--captions", type=Path, nargs="+", required=True, help="one file per member, in their order"
    )
    arguments.add_argument("--output", type=Path, required=True, help="captions to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, SelectCaptions, STAGE)
    if len(args.captions) != len(config.members):
        raise PipelineError(
            f"--captions: {len(args.captions)} files, but config: select_captions.members names "
            f"{len(config.members)}; give one file per member"
        )
    members = [read_predictions(path) for path in args.captions]
    names = [member.label for member in config.members]
    lexicon = Lexicon.read(args.concepts, args.idf)
    selected = select(members, lexicon, config.criteria, names=names if config.explain else None)
    write_json(args.output, selected.submission)
    record(args.output, STAGE, config, [args.concepts, args.idf, *args.captions])
    tell(selected, names)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

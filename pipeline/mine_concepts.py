"""Mine semantic concepts, the caption vocabulary and the IDF of words from training sentences (section 1.1).

In: the corpus (sentences of the split `train`), or caption files as ActivityNet Captions has them.
Out: concepts.json (`[{"word", "pos", "count", "idf", "forms"}, ...]`), vocabulary.json, idf.json. No word of a
validation or test sentence enters any of them, unless `vocabulary_splits` names such a split.

Alone:
    python -m pipeline.mine_concepts --captions train.json --size 1000 --tagger lexicon --output concepts.json
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.mine_concepts import MineConcepts
from pipeline.datasets.activitynet_captions import read_captions
from pipeline.datasets.concepts import concepts, inverse_document_frequency, vocabulary
from pipeline.datasets.corpus import Corpus
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.provenance.record import record

STAGE = "mine_concepts"


def read_sentences(corpus: Path | None, captions: list[Path], splits: Sequence[str]) -> list[str]:
    """Sentences of some splits of a corpus, or all sentences of caption files.

    Raises:
        PipelineError: there are none.
    """
    if corpus:
        opened = Corpus.open(corpus)
        inside = {row["video"] for row in opened.videos if row["split"] in splits}
        sentences = [row["sentence"] for row in opened.captions if row["video"] in inside]
    else:
        sentences = [
            segment.text for path in captions for video in read_captions(path).values() for segment in video.segments
        ]
    if not sentences:
        raise PipelineError(f"{corpus or ', '.join(map(str, captions))}: no sentences to mine ({', '.join(splits)})")
    return sentences


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    add_config(arguments, MineConcepts, STAGE)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path, help="the corpus manifest")
    source.add_argument("--captions", type=Path, nargs="+", default=[], help="caption files instead of a corpus")
    arguments.add_argument("--size", type=int, help="number of concepts, instead of --config's")
    arguments.add_argument("--tagger", help="en_core_web_sm or lexicon, instead of --config's")
    arguments.add_argument("--concepts", "--output", type=Path, required=True, help="concepts to write")
    arguments.add_argument("--vocabulary", type=Path, help="caption vocabulary to write")
    arguments.add_argument("--idf", type=Path, help="inverse document frequencies to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, MineConcepts, STAGE)
    instead = {key: value for key in ("size", "tagger") if (value := getattr(args, key)) is not None}
    config = MineConcepts.parse({**config.model_dump(mode="json"), **instead}, STAGE)
    inputs = [args.corpus] if args.corpus else args.captions

    sentences = read_sentences(args.corpus, args.captions, ["train"])
    mined = concepts(
        sentences,
        size=config.size,
        parts_of_speech=config.parts_of_speech,
        tagger=config.tagger,
        lemmatise=config.lemmatise,
    )
    write_json(args.concepts, mined)
    record(args.concepts, STAGE, config, inputs)
    if args.vocabulary:
        said = read_sentences(args.corpus, args.captions, config.vocabulary_splits)
        kept = vocabulary(said, config.min_count)
        write_json(args.vocabulary, {"min_count": config.min_count, "words": kept})
        record(args.vocabulary, STAGE, config, inputs)
    if args.idf:
        write_json(args.idf, {"sentences": len(sentences), "idf": inverse_document_frequency(sentences)})
        record(args.idf, STAGE, config, inputs)
    kinds = Counter(concept["pos"] for concept in mined)
    shares = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    logging.info("%d sentences, %d concepts: %s", len(sentences), len(mined), shares)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

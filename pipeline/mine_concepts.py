"""Mine semantic concepts, the caption vocabulary and the IDF of words from training sentences (section 1.1).

In: the corpus (sentences of the split `train`), or caption files in any format that a reader knows.
Out: concepts.json (`[{"word", "pos", "count", "idf", "forms"}, ...]`), vocabulary.json, idf.json. No word of a
validation or test sentence enters any of them, unless `vocabulary_splits` names such a split.

Alone:
    python -m pipeline.mine_concepts --captions train.json --size 1000 --tagger lexicon --output concepts.json
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.config.command import add_config, build_parser, command, read_config
from pipeline.config.mine_concepts import MineConcepts
from pipeline.datasets.annotations import read_captions
from pipeline.datasets.concept_mining import find_concepts, inverse_document_frequency
from pipeline.datasets.corpus import Corpus
from pipeline.datasets.vocabulary import count_vocabulary, write_vocabulary
from pipeline.errors import PipelineError
from pipeline.io.atomic import write_json
from pipeline.provenance.computation import Computation

STAGE = "mine_concepts"


def read_sentences(corpus_manifest: Path | None, captions: list[Path], splits: Sequence[str]) -> list[str]:
    """Read the sentences of some splits of a corpus, or all sentences of caption files.

    Raises:
        PipelineError: there are none.
    """
    if corpus_manifest:
        corpus = Corpus.open(corpus_manifest)
        videos = {row.video for row in corpus.videos if row.split in splits}
        sentences = [event.sentence for event in corpus.captions if event.video in videos]
    else:
        sentences = [
            event.text for path in captions for video in read_captions(path).values() for event in video.events
        ]
    if not sentences:
        source = corpus_manifest or ", ".join(map(str, captions))
        raise PipelineError(f"{source}: no sentences to mine ({', '.join(splits)})")
    return sentences


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage from its command line."""
    arguments = build_parser(__doc__)
    add_config(arguments, MineConcepts, STAGE)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--corpus", type=Path, help="manifest of the corpus")
    source.add_argument("--captions", type=Path, nargs="+", default=[], help="caption files instead of a corpus")
    arguments.add_argument("--size", type=int, help="number of concepts, instead of --config's")
    arguments.add_argument("--tagger", help="en_core_web_sm or lexicon, instead of --config's")
    arguments.add_argument("--concepts", "--output", type=Path, required=True, help="concepts to write")
    arguments.add_argument("--vocabulary", type=Path, help="caption vocabulary to write")
    arguments.add_argument("--idf", type=Path, help="inverse document frequencies to write")
    args = arguments.parse_args(argv)
    config = read_config(args.config, MineConcepts, STAGE)
    overrides = {key: value for key in ("size", "tagger") if (value := getattr(args, key)) is not None}
    config = MineConcepts.parse({**config.model_dump(mode="json"), **overrides}, STAGE)
    inputs = [args.corpus] if args.corpus else args.captions
    outputs = [path for path in (args.concepts, args.vocabulary, args.idf) if path]
    computation = Computation(STAGE, config, inputs, outputs)
    if computation.restore():
        return 0
    sentences = read_sentences(args.corpus, args.captions, ["train"])
    concepts = find_concepts(
        sentences,
        size=config.size,
        parts_of_speech=config.parts_of_speech,
        tagger=config.tagger,
        lemmatise=config.lemmatise,
    )
    write_json(args.concepts, concepts)
    if args.vocabulary:
        vocabulary_sentences = read_sentences(args.corpus, args.captions, config.vocabulary_splits)
        words = count_vocabulary(vocabulary_sentences, config.min_count, config.word_split)
        write_vocabulary(args.vocabulary, words, config.min_count, config.word_split)
    if args.idf:
        write_json(args.idf, {"sentences": len(sentences), "idf": inverse_document_frequency(sentences)})
    computation.keep_outputs()
    kinds = Counter(concept["pos"] for concept in concepts)
    summary = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    logging.info("%d sentences, %d concepts: %s", len(sentences), len(concepts), summary)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

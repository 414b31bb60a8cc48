"""A small folder of results as stages would leave it, written without running a stage."""

import hashlib
import sys
from pathlib import Path
from unittest import mock

from pipeline.config.base import Settings
from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.evaluate import Evaluate
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.config.reencode import Reencode
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import write_record


def write_output(
    output: Path, stage: str, section: Settings, inputs: list[Path], *words: str, content: str = ""
) -> Path:
    """Write an output as a stage would. Its content follows from settings, arguments and inputs, unless it is given."""
    file = output.with_suffix(".bin")
    file.parent.mkdir(parents=True, exist_ok=True)
    text = content or f"{section.digest()} {words} {[sha256(path) for path in sorted(inputs)]}"
    file.write_text(hashlib.sha256(text.encode()).hexdigest())
    write_manifest(output, [file], {})
    command = [f"/somewhere/pipeline/{stage}.py", *words, "--config", section.to_json(), "--output", str(output)]
    with mock.patch.object(sys, "argv", command):
        write_record(output, stage, section, inputs)
    return output


def write_tree(
    folder: Path, *, sentences: str = "a man runs", crf: int = 16, encoder: EncoderEntry | None = None, seed: int = 0
) -> Path:
    """Write annotations, corpus, two shards of videos, an encoder and scores, and return the path of the scores.

    Args:
        folder: folder of the results, for example `results/demo`; the scores are next to it.
        sentences: content of the annotations.
        crf: quality of the videos.
        encoder: settings of the encoder.
        seed: seed on the command line of the encoder.
    """
    annotations = folder / "source" / "train.json"
    annotations.parent.mkdir(parents=True)
    annotations.write_text(sentences)
    corpus = write_output(folder / "corpus" / "manifest.json", "build_corpus", BuildCorpus(), [annotations])
    shards = [
        write_output(
            folder / "video" / shard / "manifest.json", "reencode", Reencode(crf=crf), [corpus], "--shard", shard
        )
        for shard in ("0000", "0001")
    ]
    weights = write_output(
        folder / "encoders" / "sa_tsp" / "manifest.json",
        "pretrain_encoder",
        encoder or EncoderEntry(),
        [corpus, *shards],
        "--seed",
        str(seed),
    )
    scores = folder.parent / f"{folder.name}_test_meteor.json"
    return write_output(scores, "evaluate", Evaluate(), [corpus, *shards, weights], "dataset", "--split", "test")

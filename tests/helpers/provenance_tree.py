"""A small folder of results as stages would leave it, made without any stage."""

import hashlib
import sys
from pathlib import Path
from unittest import mock

from pipeline.config.base import Settings
from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.evaluate import Evaluate
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.config.reencode import Reencode
from pipeline.io.atomic import sha256
from pipeline.provenance.manifest import write_manifest
from pipeline.provenance.record import record


def made(output: Path, stage: str, section: Settings, inputs: list[Path], *words: str, holds: str = "") -> Path:
    """Leave an output as a stage would: what it holds follows from settings, arguments and inputs, or is `holds`."""
    payload = output.with_suffix(".bin")
    payload.parent.mkdir(parents=True, exist_ok=True)
    told = holds or f"{section.digest()} {words} {[sha256(path) for path in sorted(inputs)]}"
    payload.write_text(hashlib.sha256(told.encode()).hexdigest())
    write_manifest(output, [payload], {})
    command = [f"/somewhere/pipeline/{stage}.py", *words, "--config", section.canonical(), "--output", str(output)]
    with mock.patch.object(sys, "argv", command):
        record(output, stage, section, inputs)
    return output


def road(
    folder: Path, *, sentences: str = "a man runs", crf: int = 16, encoder: PretrainEncoder | None = None, seed: int = 0
) -> Path:
    """Annotations -> corpus -> two shards of videos -> encoder -> scores; gives the path of the scores.

    Args:
        folder: where, `results/demo` say; scores stand beside it.
        sentences: what the annotations hold.
        crf: of the videos.
        encoder: settings of the encoder.
        seed: on the command line of the encoder.
    """
    given = folder / "source" / "train.json"
    given.parent.mkdir(parents=True)
    given.write_text(sentences)
    corpus = made(folder / "corpus" / "manifest.json", "build_corpus", BuildCorpus(), [given])
    shards = [
        made(folder / "video" / shard / "manifest.json", "reencode", Reencode(crf=crf), [corpus], "--shard", shard)
        for shard in ("0000", "0001")
    ]
    trained = made(
        folder / "encoders" / "sa_tsp" / "manifest.json",
        "pretrain_encoder",
        encoder or PretrainEncoder(),
        [corpus, *shards],
        "--seed",
        str(seed),
    )
    scores = folder.parent / f"{folder.name}_test_meteor.json"
    return made(scores, "evaluate", Evaluate(), [corpus, *shards, trained], "road", "--split", "test")

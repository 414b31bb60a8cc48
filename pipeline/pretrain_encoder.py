r"""Pretrain a clip encoder: TSP, and with concepts SA-TSP (equation 1).

In:  the corpus, the re-encoded videos, the concepts; global features, where the region head is to see them.
Out: a manifest vouching for model.safetensors (encoder and heads), config.json (settings, labels, concepts),
     metrics.jsonl (a line per epoch), dropped.parquet (videos that nothing was learned from, and why) and card.md
     (what the encoder is and how good).

Training uses the videos of split `train`; after each epoch the split `val` is looked at, and the epoch with
the best mean score of the heads is kept (the last one, if `val` holds no clips). The state folder lets a run
that was interrupted go on after its last whole epoch, with the result of an undisturbed run.

    python -m pipeline.pretrain_encoder --name sa_tsp \
        --config '{"architecture": "r2plus1d_narrow", "initial_weights": null, "freeze_stem": false, "epochs": 1}' \
        --corpus results/demo/corpus/manifest.json --videos results/demo/video \
        --concepts results/demo/concepts.json --state /tmp/state --output /tmp/sa_tsp/manifest.json
"""

import logging
import time
from pathlib import Path
from typing import Any

import torch

from pipeline.config.command import add_config, command, parser, read_config
from pipeline.config.errors import PipelineError
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.datasets.corpus import REJECTS, Corpus
from pipeline.encoders.card import card
from pipeline.encoders.concept_labels import read_concepts
from pipeline.encoders.data import Data, gather
from pipeline.encoders.fitting import Fitting, optimiser
from pipeline.encoders.initial import load_initial
from pipeline.encoders.model import PretrainingModel, write_model
from pipeline.encoders.reading import ClipReader
from pipeline.store.atomic import sha256, write_text
from pipeline.store.globals import Globals
from pipeline.store.manifest import write_manifest
from pipeline.store.provenance import record
from pipeline.store.tables import write_table
from pipeline.training.device import pick
from pipeline.training.epochs import Epochs, Validation, identity
from pipeline.training.seeds import seed_all
from pipeline.training.state import TrainingState
from pipeline.video.shard import Videos

STAGE = "pretrain_encoder"


@command
def main(argv: list[str] | None = None) -> int:
    """Run the stage."""
    arguments = parser(__doc__)
    add_config(arguments, PretrainEncoder, STAGE)
    arguments.add_argument("--name", required=True, help="of the encoder, for its card")
    arguments.add_argument("--corpus", type=Path, required=True, help="manifest of the corpus")
    arguments.add_argument("--videos", type=Path, required=True, help="folder of the shards of re-encoded videos")
    arguments.add_argument("--concepts", type=Path, required=True, help="concepts.json (not read if beta is 0)")
    arguments.add_argument("--globals", type=Path, nargs="*", default=[], help="manifest of the global features")
    arguments.add_argument("--state", type=Path, required=True, help="folder for the state of an unfinished run")
    arguments.add_argument("--output", type=Path, required=True, help="manifest to write, payloads beside it")
    args = arguments.parse_args(argv)
    config = read_config(args.config, PretrainEncoder, STAGE)
    corpus = Corpus.open(args.corpus)
    videos = Videos.open(args.videos, corpus.manifest.facts["shards"])
    concepts = read_concepts(args.concepts) if config.beta > 0 else []
    data = gather(corpus, videos.rows, config, concepts, read_globals(args.globals, config))
    model = initial(config, data)
    inputs = [args.corpus, *videos.manifests]
    inputs += [args.concepts] if concepts else []
    inputs += args.globals
    inputs += [Path(config.initial_weights)] if config.initial_weights else []
    state = TrainingState(args.state, identity(STAGE, config, inputs))
    metrics = args.output.parent / "metrics.jsonl"
    if config.epochs:
        best = pretrain(model, data, config, state, metrics)
    else:
        best = {}
        write_text(metrics, "")
    publish(args.output, args.name, model, config, data, best)
    record(args.output, STAGE, config, inputs)
    state.clear()
    return 0


def read_globals(manifests: list[Path], config: PretrainEncoder) -> Globals | None:
    """The global features, where config asks for them.

    Raises:
        PipelineError: they are asked for but not given, or damaged.
    """
    if config.global_feature is None:
        return None
    if len(manifests) != 1:
        raise PipelineError(f"--globals: give the manifest of the global features of {config.global_feature.feature}")
    return Globals.open(manifests[0])


def initial(config: PretrainEncoder, data: Data) -> PretrainingModel:
    """The model before training.

    Raises:
        PipelineError: initial weights that are absent, damaged or of another architecture.
    """
    seed_all(STAGE, config.seed, "weights")
    model = PretrainingModel(config, len(data.labels), len(data.concepts))
    if config.initial_weights:
        load_initial(Path(config.initial_weights), model.encoder)
    return model


def pretrain(
    model: PretrainingModel, data: Data, config: PretrainEncoder, state: TrainingState, metrics: Path
) -> dict[str, Any]:
    """Train the model, from the newest state if there is one; it then holds the chosen epoch's weights.

    Args:
        model: as it begins.
        data: segments and labels.
        config: how.
        state: where an unfinished run keeps what it needs to go on.
        metrics: the file of metrics.

    Returns:
        the metrics of the chosen epoch.

    Raises:
        PipelineError: a clip that cannot be read, or a loss that is not finite.
    """
    device = pick(config.device)
    model.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    looked_at = data.validation(config)
    if not looked_at:
        logging.warning("split val holds no clips: the last epoch is kept, and nothing says how good it is")
    reader = ClipReader(data.rows, config.clip)
    if config.cache_gb > 0:
        reader.cache(data.videos_by_use(), int(config.cache_gb * 1e9), threads=max(1, config.workers))
    fitting = Fitting(model, optimiser(model, config), config, len(data.concepts), reader, device)

    def train(epoch: int) -> dict[str, float]:
        samples = data.epoch(epoch, config)
        began = time.monotonic()
        found = fitting.train(epoch, samples)
        logging.info("epoch %d of %d: %.0f clips/s", epoch, config.epochs, len(samples) / (time.monotonic() - began))
        return found

    epochs = Epochs(model, fitting.optimiser, state, metrics, (STAGE, config.seed, "epoch"))
    look = Validation(lambda: fitting.validate(looked_at), select="val_score") if looked_at else None
    selected = epochs.run(config.epochs, train, look)
    model.load_state_dict(selected.weights)
    return epochs.log.rows[selected.epoch - 1]


def publish(
    output: Path,
    name: str,
    model: PretrainingModel,
    config: PretrainEncoder,
    data: Data,
    best: dict[str, Any],
) -> None:
    """Write the payloads and, last, the manifest.

    Args:
        output: the manifest.
        name: of the encoder.
        model: with the chosen weights.
        config: what it was trained with.
        data: what it was trained on.
        best: metrics of the chosen epoch.
    """
    words = [concept.word for concept in data.concepts]
    files = write_model(output.parent, model, config, labels=data.labels, concepts=words)
    facts = {
        "architecture": config.architecture,
        "dim": model.encoder.dim,
        "clip": config.clip.model_dump(mode="json"),
        "labels": data.labels,
        "concepts": len(words),
        "best": best,
    }
    dropped = output.parent / "dropped.parquet"
    write_table(dropped, data.dropped, REJECTS)
    described = output.parent / "card.md"
    write_text(described, card(name, config, data, facts, sha256(files[0])))
    write_manifest(output, [*files, described, dropped, output.parent / "metrics.jsonl"], facts)


if __name__ == "__main__":
    raise SystemExit(main())

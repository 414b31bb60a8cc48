"""Datasets made of another by their names.

`<name>_s<seed>`: a dataset that the pipeline makes itself, made and learned anew from another seed. `<name>_smoke`: a
rehearsal of any dataset's road: every job, network and setting of it, on a few videos, two steps to a training.
"""

import re
from typing import Any

from pipeline.errors import PipelineError

SMOKE = "_smoke"

FEW = 2
"""Steps of a rehearsed training, videos of each split, and shards."""

VARIANT = re.compile("(?P<base>[a-z][a-z0-9_]*)_s(?P<seed>[0-9]+)")


def split_name(dataset: str) -> tuple[str, int] | None:
    """Dataset and seed that a name is made of; None of a plain name."""
    found = VARIANT.fullmatch(dataset)
    return (found["base"], int(found["seed"])) if found else None


def with_seed(config: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """The configuration of `base` with its own results, another corpus, and encoders that begin and draw anew.

    Args:
        config: of `base`, plain data.
        base: name of the dataset.
        seed: of the corpus and of the pretrainings.

    Raises:
        PipelineError: the videos of `base` are not made by the pipeline: there is nothing to draw anew.
    """
    if not str(config.get("build_corpus", {}).get("videos")).startswith(f"results/{base}/"):
        raise PipelineError(
            f"there is no dataset {base}_s{seed}: only a corpus that the pipeline makes itself can be made from "
            f"another seed, and the videos of {base} are given"
        )
    moved: dict[str, Any] = _moved(config, f"results/{base}/", f"results/{base}_s{seed}/")
    moved["make_demo"] = {**moved.get("make_demo", {}), "seed": seed}
    moved["pretrain_encoder"] = {
        name: {**entry, "seed": seed} for name, entry in moved.get("pretrain_encoder", {}).items()
    }
    return moved


def rehearsed(config: dict[str, Any], base: str) -> dict[str, Any]:
    """The configuration of `base` with its own results, few videos, and trainings of two steps.

    What decides which jobs there are, what networks they hold and how much memory they take stays as it is. Videos
    that are not there are no reason to stop, nor are action classes that so few of them do not show.

    Args:
        config: of `base`, plain data, with every default.
        base: name of the dataset.
    """
    moved: dict[str, Any] = _moved(config, f"results/{base}/", f"results/{base}{SMOKE}/")
    corpus = moved["build_corpus"]
    corpus |= {"limit_videos": corpus["limit_videos"] or FEW, "shards": min(FEW, corpus["shards"]), "missing": "allow"}
    entries = [moved["finetune_scst"]]
    for section in ("pretrain_encoder", "propose_events", "train_captioner"):
        entries += moved[section].values()
    for entry in entries:
        if entry.get("epochs"):  # others do not train: given and annotated events, encoders as they begin
            entry |= {"epochs": 1, "steps_per_epoch": FEW}
    for encoder in moved["pretrain_encoder"].values():
        # Steps as full as the real ones, which the memory of a GPU has to hold, from however few segments.
        encoder |= {"clips_per_segment": encoder["batch_size"] * encoder["replicas"], "empty_classes": "allow"}
    return moved


def _moved(value: Any, before: str, after: str) -> Any:
    """Plain data with every path below one folder led below another."""
    if isinstance(value, dict):
        return {key: _moved(entry, before, after) for key, entry in value.items()}
    if isinstance(value, list):
        return [_moved(entry, before, after) for entry in value]
    return after + value.removeprefix(before) if isinstance(value, str) and value.startswith(before) else value

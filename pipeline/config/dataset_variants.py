"""Variants of a dataset, configured from the dataset's own configuration.

`<name>_s<seed>` is a synthetic dataset made again from another seed; its encoders start from that seed too. If there is
a file `config/seeds/<name>.yaml`, it overrides settings of the dataset in these variants.
`<name>_smoke` is a rehearsal of any dataset: every job, network and setting of it on a few videos, with two steps per
training.
"""

from typing import Any

from pipeline.config.dataset_names import SMOKE
from pipeline.errors import PipelineError

REHEARSAL_SIZE = 2
"""Number of training steps, of videos in each split, and of shards in a rehearsal."""


def reseeded_config(config: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """Return the configuration of `<base>_s<seed>`: own results, another corpus, other random numbers in pretraining.

    Args:
        config: configuration of `base`, plain data.
        base: name of the dataset.
        seed: seed of the corpus and of the pretraining of encoders.

    Raises:
        PipelineError: the pipeline does not make the videos of `base`, so they do not depend on a seed.
    """
    if not str(config.get("build_corpus", {}).get("videos")).startswith(f"results/{base}/"):
        raise PipelineError(
            f"no dataset {base}_s{seed}: only a synthetic dataset can be made from another seed, and "
            f"build_corpus.videos of {base} is not below results/{base}/"
        )
    seeded: dict[str, Any] = _replace_folder(config, f"results/{base}/", f"results/{base}_s{seed}/")
    seeded["make_demo"] = {**seeded.get("make_demo", {}), "seed": seed}
    for section in ("make_acts", "make_clips"):
        seeded[section] = {**seeded.get(section, {}), "seed": seed}
    _study_alone(seeded)
    for section in ("pretrain_encoder", "train_recognizer"):
        seeded[section] = {name: {**entry, "seed": seed} for name, entry in seeded.get(section, {}).items()}
    return seeded


def rehearsal_config(config: dict[str, Any], base: str) -> dict[str, Any]:
    """Return the configuration of `<base>_smoke`: own results, a few videos, and two steps per training.

    Settings that decide which jobs run, which networks they build and how much memory they need stay unchanged. Missing
    videos are allowed, and so are action classes without a video.

    Args:
        config: complete configuration of `base`, plain data.
        base: name of the dataset.
    """
    rehearsal: dict[str, Any] = _replace_folder(config, f"results/{base}/", f"results/{base}{SMOKE}/")
    corpus = rehearsal["build_corpus"]
    corpus |= {
        "limit_videos": corpus["limit_videos"] or REHEARSAL_SIZE,
        "shards": min(REHEARSAL_SIZE, corpus["shards"]),
        "missing": "allow",
    }
    trainings = [rehearsal["finetune_scst"]]
    for section in ("pretrain_encoder", "train_recognizer", "train_proposer", "train_localizer", "train_captioner"):
        trainings += rehearsal[section].values()
    for training in trainings:
        # Encoders with 0 epochs train nothing.
        if training.get("epochs"):
            training |= {"epochs": 1, "steps_per_epoch": REHEARSAL_SIZE}
    for encoder in rehearsal["pretrain_encoder"].values():
        # Few segments must fill batches of the full size, because these decide how much GPU memory a step needs.
        encoder |= {"clips_per_segment": encoder["batch_size"] * encoder["accumulate_steps"], "empty_classes": "allow"}
    _study_alone(rehearsal)
    return rehearsal


def _study_alone(config: dict[str, Any]) -> None:
    """Make the tables of `compare_results` those of the variant itself, instead of those of several seeds."""
    studies = config.get("compare_results") or {}
    config["compare_results"] = {name: {**study, "seeds": []} for name, study in studies.items()}


def _replace_folder(value: Any, old: str, new: str) -> Any:
    """Return plain data in which every path below the folder `old` is below `new`."""
    if isinstance(value, dict):
        return {_replace_folder(key, old, new): _replace_folder(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [_replace_folder(entry, old, new) for entry in value]
    return new + value.removeprefix(old) if isinstance(value, str) and value.startswith(old) else value

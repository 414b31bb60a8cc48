"""The datasets whose plans the table of reruns compares: an unchanged one, and one for each setting that differs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from helpers.workflow_sandbox import ROOT
from pipeline.config.load import Config, merge_settings, stages
from pipeline.config.localizers import LOCALIZERS
from pipeline.errors import PipelineError

BASE = yaml.safe_load("""
build_corpus:
  actions: [results/NAME/source/activity_net.v1-3.json]
  captions_train: results/NAME/source/train.json
  captions_val: [results/NAME/source/val_1.json, results/NAME/source/val_2.json]
  videos: results/NAME/source/videos
  shards: 1
mine_concepts: {tagger: lexicon}
pretrain_encoder:
  initial: {initial_weights: null, architecture: r2plus1d_narrow, freeze_stem: false}
  sa_tsp: {initial_weights: given.pth, architecture: r2plus1d_narrow, freeze_stem: false, accumulate_steps: 2}
train_recognizer:
  joint: {size: M(8-8), clip: {frames: 4, fps: 5.0, height: 60, width: 60, crop: 56}}
  coarse: {size: M(8-8), clip: {frames: 4, fps: 5.0, height: 60, width: 60, crop: 56}}
evaluate_recognition: {recognizers: [joint]}
transfer_features: {features: [initial]}
extract_features:
  network: {extractor: vggish, weights: random}
  recognized: {recognizer: joint}
  given: {file: given.h5, fps: 15.0, frames: 16, stride: 16}
train_proposer:
  bmn: {kind: bmn, features: [sa_tsp]}
  bmt: {kind: bmt, features: {visual: [sa_tsp], audio: [network]}}
propose_events:
  bmn: {kind: learned, proposer: bmn}
  bmt: {kind: learned, proposer: bmt}
  given: {kind: file, path: given.json}
classify_videos:
  given: {kind: file, path: given.json}
finetune_scst: {samples: 2}
select_captions:
  members: [{captioner: sa_tsp, seed: 0}]
train_captioner:
  on_initial: {features: [initial], self_critical: false}
  on_sa_tsp: {features: [sa_tsp], self_critical: false}
  bmt: {architecture: bmt, features: {visual: [sa_tsp], audio: [network]}, self_critical: false}
compare_systems:
  pretraining:
    systems:
      - {name: sa_tsp, feature: sa_tsp, members: [{captioner: on_sa_tsp}]}
      - {name: initial, feature: initial, members: [{captioner: on_initial}]}
    pairs: [{system: sa_tsp, compared_to: initial}]
    control: sa_tsp
    seeds: [1]
compare_results:
  scores:
    title: Scores
    tables:
      - title: Captions
        file: "results/{dataset}_test_meteor.json"
        columns: [{title: METEOR, path: METEOR/gt/mean}]
        rows: [{name: ensemble}]
""")
"""The unchanged dataset: an entry of every kind, and otherwise as few jobs as possible."""
BASE["train_localizer"] = {kind: {"kind": kind, "features": ["sa_tsp"]} for kind in LOCALIZERS}
BASE["localize_actions"] = {
    kind: {"localizers": [{"localizer": kind}], "classifier": None if spec.settings.has_classes else "learned"}
    for kind, spec in LOCALIZERS.items()
}

DEFAULT_TARGETS = ("NAME_test_meteor.json", "NAME/report/index.html")

EXTRA_TARGETS = {
    **{
        name: (model.TARGET.format(dataset="NAME").removeprefix("results/"),)
        for name, model in stages().items()
        if model.TARGET
    },
    "compare_systems.pretraining": ("NAME_pretraining.json",),
    "compare_results": ("NAME_scores.json",),
    "extract_features.network": ("NAME/features/network/0000/manifest.json",),
    "extract_features.recognized": ("NAME/features/recognized/0000/manifest.json",),
    "extract_features.given": ("NAME/features/given/0000/manifest.json",),
    # The classifier of videos pools the features `sa_tsp`; without it, only those of `initial` are pooled.
    **dict.fromkeys(
        ("mine_concepts", "pretrain_encoder.sa_tsp", "extract_features.sa_tsp"), ("NAME/video_classes/learned.json",)
    ),
    "train_recognizer.joint": ("NAME/features/recognized/0000/manifest.json",),
    "train_proposer.bmn": ("NAME/proposals/bmn.json",),
    "train_proposer.bmt": ("NAME/proposals/bmt.json",),
    "train_captioner.bmt": ("NAME/captions/bmt-0-test-gt.json",),
    "propose_events.bmn": ("NAME/proposals/bmn.json",),
    "propose_events.given": ("NAME/proposals/given.json",),
    "classify_videos.given": ("NAME/video_classes/given.json",),
    **{f"train_localizer.{kind}": (f"NAME/detections/{kind}.json",) for kind in LOCALIZERS},
    "localize_actions.pgcn": ("NAME/detections/pgcn.json",),
}
"""Section or entry -> further targets, where the default targets do not depend on its settings."""

EXTERNAL_FILES = ("given.h5", "given.json", "given.pth", "other", "other.pth")
"""Input files that no rule makes."""

SIMILAR_ENTRIES = (
    "pretrain_encoder.initial",
    "train_recognizer.coarse",
    "extract_features.initial",
    *(f"train_localizer.{kind}.proposals" for kind, spec in LOCALIZERS.items() if not spec.settings.reads_proposals),
    *(f"localize_actions.{kind}" for kind in LOCALIZERS if kind not in ("gtad", "pgcn")),
    "localize_actions.pgcn.classifier",
    "train_captioner.on_initial",
    "train_captioner.on_sa_tsp",
    "propose_events.bmt",
)
"""Entries and settings that are not changed, because those of another entry of the same kind are."""

SELECTORS = re.compile(r"(.*\.)?kind|train_captioner\.\w+\.architecture|build_corpus\.clips")
"""Settings that select which other settings there are; they are not changed alone."""

CHANGED_VALUES: dict[str, Any] = {
    "build_corpus.readers": {"results/NAME/source/activity_net.v1-3.json": "activitynet_json"},
    "extract_features.network.extractor": "slowfast_r50",
    "build_corpus.subsets": {"results/NAME/source/activity_net.v1-3.json": "training"},
    "build_corpus.fractions.train": 1.0e-10,  # the others sum to 1
    "build_corpus.pins": {"v_12345678901": "val"},
    "build_corpus.limit_videos": 100,
    "pretrain_encoder.sa_tsp.steps_per_epoch": 2,
    "train_recognizer.joint.steps_per_epoch": 2,
    "train_recognizer.joint.size": "M(16-8)",
    "extract_features.recognized.recognizer": "coarse",
    "extract_features.recognized.dataset": "demo",
    "evaluate_recognition.recognizers": ["joint", "coarse"],
    "transfer_features.features": ["sa_tsp"],
    **{
        f"transfer_features.classifiers.{name}.{key}": value
        for name in ("regression", "perceptron", "bilstm")
        for key, value in {"features": ["initial"], "shots": [1]}.items()
    },
    "train_proposer.learned.steps_per_epoch": 2,
    "train_proposer.bmn.steps_per_epoch": 2,
    "train_captioner.sa_tsp.steps_per_epoch": 2,
    "finetune_scst.steps_per_epoch": 2,
    "pretrain_encoder.sa_tsp.initial_weights": "other.pth",
    "pretrain_encoder.sa_tsp.global_feature.feature": "network",
    "extract_features.sa_tsp.encoder": "initial",
    "probe_encoder.attributes": {"colour": ["red"]},
    "pool_features.pools": ["mean", "max"],
    "classify_videos.learned.features": ["initial"],
    **{f"train_localizer.{kind}.features": ["initial"] for kind in LOCALIZERS},
    "train_localizer.gtad.kernel": 3,
    "train_localizer.gtad_windows.kernel": 1,
    "train_localizer.pgcn.proposals": "gt",
    "localize_actions.gtad.localizers": [{"localizer": "gtad", "weight": 2.0}],
    "localize_actions.gtad.classifier": "given",
    "localize_actions.pgcn.localizers": [{"localizer": "pgcn", "weight": 2.0}],
    "evaluate_localization.detections": "pgcn",
    "evaluate_localization.proposals": "pgcn",
    "analyze_localization.detections": ["pgcn"],
    "analyze_localization.features": ["initial"],
    "compare_localization.systems": [{"name": "sa_tsp", "detections": {"gtad": "gtad"}}],
    "compare_localization.pairs": [{"system": "sa_tsp", "compared_to": "sa_tsp"}],
    "compare_localization.seeds": [1],
    "compare_results.scores.seeds": [1],
    "compare_results.scores.tables": [
        {
            "title": "Detections",
            "file": "results/{dataset}_test_detections.json",
            "columns": [{"title": "mAP", "path": "mAP/mean"}],
            "rows": [{"name": "detections"}],
        }
    ],
    "train_proposer.learned.features": ["initial"],
    "train_proposer.bmn.features": ["initial"],
    "propose_events.learned.proposer": "bmn",
    "propose_events.bmn.proposer": "learned",
    "train_captioner.sa_tsp.features": ["sa_tsp", "initial"],
    "train_captioner.sa_tsp.attributes": {"count": 20},
    "train_captioner.sa_tsp.vocabulary": {"word_split": "english", "min_count": 1},
    "train_captioner.bmt.features.visual": ["initial"],
    "train_captioner.bmt.features.audio": ["initial"],
    "train_captioner.bmt.vocabulary": {"word_split": "english", "min_count": 1},
    "train_captioner.bmt.steps_per_epoch": 2,
    "train_proposer.bmt.features.visual": ["initial"],
    "train_proposer.bmt.features.audio": ["initial"],
    "train_proposer.bmt.encoder": {"captioner": "bmt", "seed": 0, "finetune": False},
    "train_proposer.bmt.steps_per_epoch": 2,
    "train_proposer.bmt.max_tiou": 0.5,
    "finetune_scst.proposals": "learned",
    "generate_captions.block_ngrams": 3,
    "analyze_clips.frames": [2, 4],
    "analyze_clips.word_maps": "initial",
    "analyze_clips.scores.reader": "msrvtt",
    "evaluate_clips.reader": "msrvtt",
    "bundle_model.licence": "cc-by-4.0",
    "bundle_model.language": "de",
    "compare_systems.pretraining.systems": [
        {"name": "sa_tsp", "feature": "sa_tsp", "members": [{"captioner": "on_sa_tsp"}]},
        {"name": "initial", "members": [{"captioner": "sa_tsp"}]},
    ],
    "compare_systems.pretraining.pairs": [{"system": "initial", "compared_to": "sa_tsp"}],
    "compare_systems.pretraining.control": "initial",
    "compare_systems.pretraining.proposals": ["gt", "learned"],
    "compare_systems.ablation.systems": [{"name": "single", "members": [{"captioner": "sa_tsp"}]}],
    "compare_systems.ablation.pairs": [{"system": "scst", "compared_to": "single"}],
    "compare_systems.ablation.control": "single",
    "compare_systems.ablation.seeds": [1],
    "compare_systems.ablation.proposals": ["gt", "learned", "given"],
}
"""Changed values of settings for which no value can be derived from the present one."""


def base_config(name: str) -> dict[str, Any]:
    """Return the configuration file of an unchanged dataset of a name."""
    return dict(json.loads(json.dumps(BASE).replace("NAME", name)))


def leaf_settings(plain: dict[str, Any], key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings that can change alone, keys with dots, with their values."""
    for name, value in plain.items():
        path = f"{key}.{name}".strip(".")
        if path in SIMILAR_ENTRIES or SELECTORS.fullmatch(path):
            continue
        if isinstance(value, dict) and value:
            yield from leaf_settings(value, path)
        else:
            yield path, value


def nest(key: str, value: Any) -> dict[str, Any]:
    """Return a setting as a configuration file holds it."""
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


def change_setting(key: str, value: Any, name: str) -> dict[str, Any]:
    """Return the configuration file of a dataset in which one setting differs from the base.

    Raises:
        LookupError: no valid other value could be derived.
    """
    fixed = json.loads(json.dumps(CHANGED_VALUES).replace("NAME", name))
    for candidate in [fixed[key]] if key in fixed else _candidates(key, value, name):
        overlay = merge_settings(base_config(name), nest(key, candidate))
        if candidate != value and not _error(overlay):
            return overlay
    raise LookupError(
        f"{key} = {value!r}: no other valid value could be derived; add one to CHANGED_VALUES in {__file__}"
    )


def _error(overlay: dict[str, Any]) -> str:
    """Return the error of a configuration file; empty if it is valid."""
    try:
        Config.parse(merge_settings(DEFAULTS, overlay), "")
    except PipelineError as error:
        return str(error)
    return ""


def _candidates(key: str, value: Any, name: str) -> list[Any]:
    """Return other values that a setting might take: the next number, an allowed word, a longer or shorter list."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value * 2, value + 3]
    if isinstance(value, float):
        return [value / 2, value + 1]
    if isinstance(value, list) and len(value) > 1:
        return [value[:-1]]
    invalid = ["?"] if isinstance(value, list) else "?"
    words = re.findall(
        r"'(\w+)'", _error(merge_settings(base_config(name), nest(key, invalid))).partition("should be")[2]
    )
    if isinstance(value, list):
        return [[*value, item] for item in [*words, *_next_items(value), "other"]]
    return [*words, "other", 32, 2, True]


def _next_items(value: list[Any]) -> list[Any]:
    """Return items that might be appended to a list."""
    if not value:
        return []
    last = value[-1]
    if isinstance(last, dict):
        return [{**last, "seed": last["seed"] + 1}] if "seed" in last else []
    return [last if isinstance(last, str) else last + 1]


DEFAULTS: dict[str, Any] = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))


def variants() -> dict[str, dict[str, Any]]:
    """Return every setting -> the configuration file of the dataset `variant_name(index)` in which only it differs."""
    present = Config.parse(merge_settings(DEFAULTS, base_config("unchanged")), "").model_dump(mode="json")
    overlays = {}
    for index, (key, _) in enumerate(leaf_settings(present)):
        name = variant_name(index)
        values = Config.parse(merge_settings(DEFAULTS, base_config(name)), "").model_dump(mode="json")
        overlays[key] = change_setting(key, dict(leaf_settings(values))[key], name)
    return overlays


def variant_name(index: int) -> str:
    """Return the name of the dataset in which a setting differs."""
    return f"v{index}"


def targets(name: str, key: str | None) -> list[str]:
    """Return the targets of a dataset: the default ones, and those that depend on a setting.

    Args:
        name: name of the dataset.
        key: the setting; None for all targets.
    """
    extra = [files for start, files in EXTRA_TARGETS.items() if key is None or f"{key}.".startswith(f"{start}.")]
    return [f"results/{file.replace('NAME', name)}" for files in [DEFAULT_TARGETS, *extra] for file in files]


def write_sandbox(folder: Path, datasets: dict[str, dict[str, Any]]) -> None:
    """Write a folder like a clone, with other datasets and their external files."""
    for name in ("Snakefile", "workflow", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "config" / "datasets").mkdir(parents=True)
    (folder / "config" / "config.yaml").symlink_to(ROOT / "config" / "config.yaml")
    for name, overlay in {"demo": base_config("demo"), **datasets}.items():
        (folder / "config" / "datasets" / f"{name}.yaml").write_text(yaml.dump(overlay, Dumper=yaml.CSafeDumper))
    for name in EXTERNAL_FILES:
        (folder / name).write_text("")

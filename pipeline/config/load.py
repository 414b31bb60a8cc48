"""The whole configuration: defaults, then the dataset's file, then the user's overrides; checked before any job."""

import re
from functools import cache
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.climb_ladder import ClimbLadder
from pipeline.config.compare_encoders import CompareEncoders
from pipeline.config.evaluate import Evaluate
from pipeline.config.extract_features import KINDS, ExtractFeatures, OwnFeature
from pipeline.config.finetune_scst import FinetuneScst
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.make_demo import MakeDemo
from pipeline.config.mine_concepts import MineConcepts
from pipeline.config.pool_features import PoolFeatures
from pipeline.config.pretrain_encoder import GlobalFeature, PretrainEncoder
from pipeline.config.probe_encoder import ProbeEncoder
from pipeline.config.propose_events import Boundary, GroundTruth, Learned, ProposeEvents
from pipeline.config.reencode import Reencode
from pipeline.config.select_captions import Member, SelectCaptions
from pipeline.config.train_captioner import TrainCaptioner
from pipeline.config.variants import SMOKE, rehearsed, split_name, with_seed
from pipeline.config.write_report import WriteReport
from pipeline.config.write_submission import WriteSubmission
from pipeline.errors import PipelineError

CONFIG = Path("config")
"""Folder of the configuration, relative to the folder that snakemake runs in."""


NAME = re.compile("[a-z][a-z0-9_]*")
"""Names of entries become names of files and wildcards."""

TAKEN = ("control", "ensemble")
"""Names that files of captions have a meaning for."""


class Config(Section):
    """One section per stage; four of them hold named entries, one job (or one job per seed) each."""

    make_demo: MakeDemo = Field(MakeDemo(), description="the demo corpus (dataset demo only)")
    build_corpus: BuildCorpus = Field(BuildCorpus(), description="annotations and videos")
    reencode: Reencode = Field(Reencode(), description="constant frame rate")
    mine_concepts: MineConcepts = Field(MineConcepts(), description="concepts, vocabulary, IDF")
    pretrain_encoder: dict[str, PretrainEncoder] = Field(
        {
            "initial": PretrainEncoder(epochs=0, alpha=0.0, beta=0.0),
            "sa_tsp": PretrainEncoder(global_feature=GlobalFeature(feature="initial")),
        },
        description="encoders, by name; `initial` is what the others start from, untrained here: global features come "
        "from it",
    )
    extract_features: dict[str, ExtractFeatures] = Field(
        {name: ExtractFeatures(OwnFeature(encoder=name)) for name in ("initial", "sa_tsp")},
        description="features, by name",
    )
    pool_features: PoolFeatures = Field(PoolFeatures(), description="global features of videos")
    probe_encoder: ProbeEncoder = Field(ProbeEncoder(), description="linear probes of features")
    propose_events: dict[str, ProposeEvents] = Field(
        {"gt": ProposeEvents(GroundTruth()), "learned": ProposeEvents(Boundary(features=["sa_tsp"]))},
        description="proposers, by name; `gt` and `learned` are the two that are scored",
    )
    train_captioner: dict[str, TrainCaptioner] = Field(
        {"sa_tsp": TrainCaptioner(features=["sa_tsp"])}, description="captioners, by name"
    )
    finetune_scst: FinetuneScst = Field(FinetuneScst(), description="self-critical training")
    generate_captions: GenerateCaptions = Field(GenerateCaptions(), description="decoding")
    select_captions: SelectCaptions = Field(
        SelectCaptions(members=[Member(captioner="sa_tsp", seed=seed) for seed in range(5)]),
        description="the ensemble (M = 5, section 1.4)",
    )
    evaluate: Evaluate = Field(Evaluate(), description="scores")
    write_submission: WriteSubmission = Field(WriteSubmission(), description="the file for the challenge's test set")
    write_report: WriteReport = Field(WriteReport(), description="tables, pictures, page")
    compare_encoders: CompareEncoders = Field(CompareEncoders(), description="encoders beside one another")
    climb_ladder: ClimbLadder = Field(ClimbLadder(), description="the ladder of the paper's Table 2")

    @model_validator(mode="after")
    def _names_are_plain(self) -> Self:
        for section in ("pretrain_encoder", "extract_features", "propose_events", "train_captioner"):
            for name in getattr(self, section):
                if not NAME.fullmatch(name) or name in TAKEN:
                    raise ValueError(
                        f"{section}.{name}: names are small letters, digits and _; not {' or '.join(TAKEN)}"
                    )
        return self

    @model_validator(mode="after")
    def _clips_fit_the_videos(self) -> Self:
        for name, encoder in self.pretrain_encoder.items():
            step = self.reencode.fps / encoder.clip.fps
            if abs(step - round(step)) > 1e-6:
                raise ValueError(f"pretrain_encoder.{name}.clip.fps {encoder.clip.fps:g} must divide reencode.fps")
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for feature in self.extract_features:
            _known(f"extract_features.{feature}.encoder", self._encoders(feature), self.pretrain_encoder)
        for name in self.pretrain_encoder:
            self._check_global_feature(name)
        for name, proposer in self.propose_events.items():
            if isinstance(proposer.root, Learned):
                _known(f"propose_events.{name}.features", proposer.root.features, self.extract_features)
        for name, captioner in self.train_captioner.items():
            _known(f"train_captioner.{name}.features", captioner.features, self.extract_features)
        _known("finetune_scst.proposals", [self.finetune_scst.proposals], self.propose_events)
        _known(
            "select_captions.members",
            [member.captioner for member in self.select_captions.members],
            self.train_captioner,
        )
        for rung in self.climb_ladder.rungs:
            captioners = [member.captioner for member in rung.members]
            _known(f"climb_ladder.rungs ({rung.name})", captioners, self.train_captioner)
        for arm in self.compare_encoders.arms:
            _known("compare_encoders.arms", [arm.captioner], self.train_captioner)
            features = self.train_captioner[arm.captioner].features
            if features != [arm.feature]:
                raise ValueError(
                    f"compare_encoders.arms: captioner {arm.captioner!r} reads {', '.join(features)}, not {arm.feature}"
                )
        missing = {"gt", "learned"} - set(self.propose_events)
        if missing:
            raise ValueError(f"propose_events lacks {' and '.join(sorted(missing))}")
        return self

    def _check_global_feature(self, encoder: str) -> None:
        """Global features come from encoders that are there before: following them must come to an end."""
        passed = [encoder]
        while (chosen := self.pretrain_encoder[passed[-1]].global_feature) is not None:
            key = f"pretrain_encoder.{passed[-1]}.global_feature"
            _known(f"{key}.feature", [chosen.feature], self.extract_features)
            if chosen.pool not in self.pool_features.pools:
                raise ValueError(f"{key}.pool {chosen.pool!r} is none of pool_features.pools")
            own = self._encoders(chosen.feature)
            if not own:  # a published network needs no encoder of ours
                break
            passed += own
            if passed[-1] in passed[:-1]:
                raise ValueError(f"{key} needs itself: {' needs '.join(passed)}")

    def feature_encoders(self) -> list[str]:
        """Encoders that captioners of the ensemble or proposers read the features of, sorted."""
        used = {
            feature
            for member in self.select_captions.members
            for feature in self.train_captioner[member.captioner].features
        }
        used |= {
            feature
            for proposer in self.propose_events.values()
            if isinstance(proposer.root, Learned)
            for feature in proposer.root.features
        }
        return sorted({encoder for feature in used for encoder in self._encoders(feature)})

    def _encoders(self, feature: str) -> list[str]:
        """The encoder of ours that makes a feature; none of a published network's."""
        entry = self.extract_features[feature].root
        return [entry.encoder] if isinstance(entry, OwnFeature) else []


def _known(key: str, names: list[str], entries: dict[str, Any]) -> None:
    """Names that refer to entries of another section must exist, and features must not be named twice."""
    if key.endswith(".features") and len(set(names)) < len(names):
        raise ValueError(f"{key} names a feature twice: {', '.join(names)}")
    for name in names:
        if name not in entries:
            raise ValueError(f"{key} names {name!r}; there are {', '.join(sorted(entries))}")


def load(dataset: str, overrides: dict[str, Any], folder: Path = CONFIG) -> Config:
    """The configuration of one dataset.

    Args:
        dataset: name of a file in `config/datasets/`; or made of one, `<name>_s<seed>` or `<name>_smoke`, which see
            `pipeline.config.variants`.
        overrides: what the user gave with --configfile and --config: wins over everything.
        folder: the configuration folder.

    Raises:
        PipelineError: no such dataset, or one line per wrong key.
    """
    path = folder / "datasets" / f"{dataset}.yaml"
    if path.is_file():
        return Config.parse(_merged(dataset, overrides, folder), "")
    if dataset.endswith(SMOKE):
        base = dataset.removesuffix(SMOKE)
        whole = Config.parse(_merged(base, overrides, folder), "").model_dump(mode="json")
        return Config.parse(rehearsed(whole, base), "")
    if variant := split_name(dataset):
        base, seed = variant
        return Config.parse(with_seed(_merged(base, overrides, folder), base, seed), "")
    return Config.parse(_merged(dataset, overrides, folder), "")


def _merged(dataset: str, overrides: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "datasets" / f"{dataset}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise PipelineError(f"no dataset {dataset!r}: {path} is missing; there are {known}")
    return merge(merge(_read(folder / "config.yaml"), _read(path)), overrides)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; lists and scalars replace, and null removes a mapping.

    An entry of another kind (given proposals instead of learned ones, a published network's features instead of our
    own) replaces too: settings of one kind mean nothing to another.
    """
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = value if _of_other_kind(merged[key], value) else merge(merged[key], value)
        elif value is None and isinstance(merged.get(key), dict):
            del merged[key]
        else:
            merged[key] = value
    return merged


def _of_other_kind(base: dict[str, Any], over: dict[str, Any]) -> bool:
    """Whether an entry says that it is of another kind than the one it is laid on."""
    named = next((kind for kind in KINDS if kind in over), None)
    is_feature = any(kind in base for kind in KINDS)
    return over.get("kind", base.get("kind")) != base.get("kind") or (
        is_feature and named is not None and named not in base
    )


@cache
def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such configuration file") from None
    except yaml.YAMLError as error:
        raise PipelineError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: expected a mapping of sections")
    return data

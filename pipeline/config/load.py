"""The whole configuration: defaults, then the dataset's file, then the user's overrides; checked before any job."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import Field, model_validator

from pipeline.config.base import Section, Settings
from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.bundle_model import BundleModel
from pipeline.config.captioners import CAPTIONERS
from pipeline.config.compare_systems import DEFAULT_COMPARISONS, ComparisonEntry, collect_ensembles
from pipeline.config.dataset_names import COMPARISON, DATASET, SMOKE, parse_seeded_name
from pipeline.config.dataset_variants import rehearsal_config, reseeded_config
from pipeline.config.evaluate import Evaluate
from pipeline.config.extract_features import FEATURE_KINDS, EncoderFeatureSettings, FeatureEntry
from pipeline.config.finetune_scst import FinetuneScst
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.losses import build_losses
from pipeline.config.make_demo import MakeDemo
from pipeline.config.mine_concepts import MineConcepts
from pipeline.config.pool_features import PoolFeatures
from pipeline.config.pretrain_encoder import EncoderEntry, GlobalFeature
from pipeline.config.probe_encoder import ProbeEncoder
from pipeline.config.propose_events import GroundTruthProposalSettings, LearnedProposalSettings, ProposalsEntry
from pipeline.config.proposers import BoundarySettings
from pipeline.config.reencode import Reencode
from pipeline.config.select_captions import EnsembleMember, SelectCaptions
from pipeline.config.train_captioner import CaptionerEntry, CrossEntropySettings
from pipeline.config.train_proposer import ProposerEntry
from pipeline.config.write_report import WriteReport
from pipeline.config.write_submission import WriteSubmission
from pipeline.errors import PipelineError, nearest

CONFIG = Path("config")
"""Folder of the configuration, relative to the folder that snakemake runs in."""

NAME = re.compile(DATASET)
"""Names of entries; they become names of files and wildcards."""

RESERVED_NAMES = ("control", "ensemble")
"""Names that have a meaning in the names of caption files."""


class Config(Section):
    """One section per stage. Some sections hold named entries: one job (or one job per seed) each."""

    make_demo: MakeDemo = Field(MakeDemo(), description="the synthetic videos (dataset demo only)")
    build_corpus: BuildCorpus = Field(BuildCorpus(), description="annotations and raw videos")
    reencode: Reencode = Field(Reencode(), description="re-encoding at a constant frame rate")
    mine_concepts: MineConcepts = Field(MineConcepts(), description="concepts, vocabulary and IDF")
    pretrain_encoder: dict[str, EncoderEntry] = Field(
        {
            "initial": EncoderEntry(epochs=0, losses=build_losses(action=1.0)),
            "sa_tsp": EncoderEntry(global_feature=GlobalFeature(feature="initial")),
        },
        description="encoders, by name; `initial` has the initial weights of the others and is not trained here: its "
        "features are pooled to video features",
    )
    extract_features: dict[str, FeatureEntry] = Field(
        {name: FeatureEntry(EncoderFeatureSettings(encoder=name)) for name in ("initial", "sa_tsp")},
        description="features, by name",
    )
    pool_features: PoolFeatures = Field(PoolFeatures(), description="one vector per video, pooled over its features")
    probe_encoder: ProbeEncoder = Field(ProbeEncoder(), description="linear probes of features")
    train_proposer: dict[str, ProposerEntry] = Field(
        {"learned": ProposerEntry(BoundarySettings(features=["sa_tsp"]))}, description="proposers, by name"
    )
    propose_events: dict[str, ProposalsEntry] = Field(
        {"gt": ProposalsEntry(GroundTruthProposalSettings()), "learned": ProposalsEntry(LearnedProposalSettings())},
        description="proposals, by name; `gt` and `learned` are scored",
    )
    train_captioner: dict[str, CaptionerEntry] = Field(
        {"sa_tsp": CaptionerEntry.parse({"features": ["sa_tsp"]}, "train_captioner.sa_tsp")},
        description="captioners, by name",
    )
    finetune_scst: FinetuneScst = Field(FinetuneScst(), description="self-critical training of captioners")
    generate_captions: GenerateCaptions = Field(GenerateCaptions(), description="decoding of captions")
    select_captions: SelectCaptions = Field(
        SelectCaptions(members=[EnsembleMember(captioner="sa_tsp", seed=seed) for seed in range(5)]),
        description="the ensemble (SA-TSP, section 1.4: M = 5)",
    )
    evaluate: Evaluate = Field(Evaluate(), description="scores")
    write_submission: WriteSubmission = Field(
        WriteSubmission(), description="the submission file for the challenge's test set"
    )
    write_report: WriteReport = Field(WriteReport(), description="tables, plots and the report page")
    bundle_model: BundleModel = Field(BundleModel(), description="the folder that holds the trained model")
    compare_systems: dict[str, ComparisonEntry] = Field(
        DEFAULT_COMPARISONS, description="comparisons of captioning systems, by name: results/<dataset>_<name>.json"
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for section, entries in self:
            for name in entries if isinstance(entries, dict) else ():
                if not NAME.fullmatch(name) or name in RESERVED_NAMES:
                    raise ValueError(
                        f"{section}.{name}: a name has small letters, digits and _, and is not"
                        f" {' or '.join(RESERVED_NAMES)}"
                    )
        return self

    @model_validator(mode="after")
    def _check_frame_rates(self) -> Self:
        for name, encoder in self.pretrain_encoder.items():
            step = self.reencode.fps / encoder.clip.fps
            if abs(step - round(step)) > 1e-6:
                raise ValueError(f"pretrain_encoder.{name}.clip.fps {encoder.clip.fps:g} must divide reencode.fps")
        return self

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        for feature in self.extract_features:
            _check_entries(f"extract_features.{feature}.encoder", self._encoders([feature]), self.pretrain_encoder)
        for name in self.pretrain_encoder:
            self._check_global_feature(name)
        for name, proposer in self.train_proposer.items():
            _check_features(f"train_proposer.{name}.features", proposer.root.features, self.extract_features)
        for name, proposals in self.propose_events.items():
            if isinstance(proposals.root, LearnedProposalSettings):
                _check_entries(f"propose_events.{name}.proposer", [proposals.root.proposer], self.train_proposer)
        for name, captioner in self.train_captioner.items():
            for stream, features in captioner.root.streams.items():
                key = f"train_captioner.{name}.features"
                key += f".{stream}" if isinstance(captioner.root.features, dict) else ""
                _check_features(key, features, self.extract_features)
        _check_entries("finetune_scst.proposals", [self.finetune_scst.proposals], self.propose_events)
        members = [member.captioner for member in self.select_captions.members]
        _check_entries("select_captions.members", members, self.train_captioner)
        missing = {"gt", "learned"} - set(self.propose_events)
        if missing:
            raise ValueError(f"propose_events lacks {' and '.join(sorted(missing))}")
        return self

    @model_validator(mode="after")
    def _check_comparisons(self) -> Self:
        for name, comparison in self.compare_systems.items():
            key = f"compare_systems.{name}"
            if not re.fullmatch(COMPARISON, name):
                raise ValueError(
                    f"{key}: the name of a comparison has small letters and digits, and is not meteor or submission"
                )
            _check_entries(f"{key}.proposals", comparison.proposals, self.propose_events)
            for system in comparison.systems:
                captioners = [member.captioner for member in system.members]
                _check_entries(f"{key}.systems.{system.name}.members", captioners, self.train_captioner)
                if system.feature is None:
                    continue
                features = self.train_captioner[captioners[0]].root.feature_names
                if features != [system.feature]:
                    raise ValueError(
                        f"{key}.systems.{system.name}: captioner {captioners[0]!r} reads {', '.join(features)}, not "
                        f"{system.feature}"
                    )
        collect_ensembles(self.compare_systems.values())
        return self

    def _check_global_feature(self, encoder: str) -> None:
        """Check that the global feature of an encoder does not depend on the encoder itself."""
        path = [encoder]
        while (global_feature := self.pretrain_encoder[path[-1]].global_feature) is not None:
            key = f"pretrain_encoder.{path[-1]}.global_feature"
            _check_entries(f"{key}.feature", [global_feature.feature], self.extract_features)
            if global_feature.pool not in self.pool_features.pools:
                raise ValueError(f"{key}.pool {global_feature.pool!r} is not in pool_features.pools")
            encoders = self._encoders([global_feature.feature])
            if not encoders:  # the feature of a published network depends on no encoder
                break
            path += encoders
            if path[-1] in path[:-1]:
                raise ValueError(f"{key} depends on itself: {' needs '.join(path)}")

    def feature_encoders(self) -> list[str]:
        """Return the encoders whose features the ensemble's captioners or the proposers read, sorted."""
        captioners = [self.train_captioner[member.captioner].root for member in self.select_captions.members]
        features = [feature for captioner in captioners for feature in captioner.feature_names]
        for name in self.used_proposers():
            features += self.train_proposer[name].root.features
        return sorted(set(self._encoders(features)))

    def used_proposers(self) -> list[str]:
        """Return the trained proposers that `propose_events` names, sorted."""
        entries = [proposals.root for proposals in self.propose_events.values()]
        return sorted({entry.proposer for entry in entries if isinstance(entry, LearnedProposalSettings)})

    def _encoders(self, features: Iterable[str]) -> list[str]:
        """Return the encoders, trained here, that make some features; a published network has none."""
        entries = [self.extract_features[feature].root for feature in features]
        return [entry.encoder for entry in entries if isinstance(entry, EncoderFeatureSettings)]


@cache
def stages() -> dict[str, type[Settings]]:
    """Return the stages in the order of the data flow, with the model of each one's section or of its entries."""
    models: dict[str, Any] = {}
    for name, field in Config.model_fields.items():
        arguments = get_args(field.annotation)  # of a section with named entries: str and the model of an entry
        models[name] = arguments[1] if arguments else field.annotation
    return models


def _check_entries(key: str, names: Iterable[str], entries: Iterable[str]) -> None:
    """Check that names refer to entries of another section.

    Raises:
        ValueError: a name has no entry.
    """
    entries = set(entries)
    for name in names:
        if name not in entries:
            raise ValueError(f"{key} names {name!r}{nearest(name, entries)}")


def _check_features(key: str, features: list[str], entries: Iterable[str]) -> None:
    """Check that features are entries of `extract_features` and are named once.

    Raises:
        ValueError: a feature has no entry, or is named twice.
    """
    if len(set(features)) < len(features):
        raise ValueError(f"{key} names a feature twice: {', '.join(features)}")
    _check_entries(key, features, entries)


def load_config(dataset: str, overrides: dict[str, Any], folder: Path = CONFIG) -> Config:
    """Load the configuration of one dataset.

    Args:
        dataset: name of a file in `config/datasets/`, or a variant `<name>_s<seed>` or `<name>_smoke` (see
            `pipeline.config.dataset_variants`).
        overrides: the user's settings, from --configfile and --config; they override everything else.
        folder: the configuration folder.

    Raises:
        PipelineError: there is no such dataset, or a setting is invalid (one sentence for each).
    """
    path = folder / "datasets" / f"{dataset}.yaml"
    if path.is_file():
        return Config.parse(_merge_files(dataset, overrides, folder), "")
    if dataset.endswith(SMOKE):
        base = dataset.removesuffix(SMOKE)
        complete = Config.parse(_merge_files(base, overrides, folder), "").model_dump(mode="json")
        return Config.parse(rehearsal_config(complete, base), "")
    if seeded := parse_seeded_name(dataset):
        return Config.parse(reseeded_config(_merge_files(seeded.base, overrides, folder), seeded.base, seeded.seed), "")
    return Config.parse(_merge_files(dataset, overrides, folder), "")


def _merge_files(dataset: str, overrides: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "datasets" / f"{dataset}.yaml"
    if not path.is_file():
        datasets = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise PipelineError(f"no dataset {dataset!r}: {path} is missing; there are {datasets}")
    return merge_settings(merge_settings(_read_once(folder / "config.yaml"), _read_once(path)), overrides)


def merge_settings(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base` key by key; lists and scalars are replaced, and null removes a mapping.

    An entry of another kind (proposals of a file instead of learned ones, the feature of a published network instead of
    one of an encoder) is replaced whole, because the settings of one kind mean nothing to another.
    """
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge_entries(merged[key], value)
        elif value is None and isinstance(merged.get(key), dict):
            del merged[key]
        else:
            merged[key] = value
    return merged


def _merge_entries(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings, if they are of one kind."""
    if _is_other_kind(base, over):
        return over
    if over.get("architecture") in CAPTIONERS and over["architecture"] != base.get("architecture"):
        # Of the settings of a captioner of another architecture only those of the training remain.
        base = {key: value for key, value in base.items() if key in CrossEntropySettings.model_fields}
    return merge_settings(base, over)


def _is_other_kind(base: dict[str, Any], over: dict[str, Any]) -> bool:
    """Return whether an entry names another kind than the entry that it is merged into."""
    kind_key = next((key for key in FEATURE_KINDS if key in over), None)
    is_feature = any(key in base for key in FEATURE_KINDS)
    return over.get("kind", base.get("kind")) != base.get("kind") or (
        is_feature and kind_key is not None and kind_key not in base
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file; an empty file is an empty mapping.

    Raises:
        PipelineError: the file cannot be read, is not YAML, or is not a mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PipelineError(f"{path}: cannot read configuration file ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise PipelineError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise PipelineError(f"{path}: expected a mapping of sections")
    return data


_read_once = cache(read_yaml)

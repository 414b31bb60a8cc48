"""The whole configuration: defaults, then the dataset's file, then the user's overrides; checked before any job."""

import re
from collections.abc import Iterable
from functools import cache, reduce
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import Field, model_validator

from pipeline.config.analyze_clips import AnalyzeClips
from pipeline.config.analyze_localization import AnalyzeLocalization
from pipeline.config.base import Section, Settings
from pipeline.config.bimodal import BiModalSettings
from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.bundle_model import BundleModel
from pipeline.config.captioners import CAPTIONERS
from pipeline.config.classify_videos import ClassifierEntry, ClassifierSettings, LearnedClassifierSettings
from pipeline.config.compare_localization import CompareLocalization
from pipeline.config.compare_results import ResultsStudy
from pipeline.config.compare_systems import DEFAULT_COMPARISONS, ComparisonEntry, collect_ensembles
from pipeline.config.dataset_names import COMPARISON, DATASET, SMOKE, parse_seeded_name
from pipeline.config.dataset_variants import rehearsal_config, reseeded_config
from pipeline.config.evaluate import Evaluate
from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.config.evaluate_localization import EvaluateLocalization
from pipeline.config.evaluate_recognition import EvaluateRecognition
from pipeline.config.extract_features import (
    FEATURE_KINDS,
    EncoderFeatureSettings,
    FeatureEntry,
    RecognizerFeatureSettings,
)
from pipeline.config.feature_combination import name_streams
from pipeline.config.finetune_scst import FinetuneScst
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.label_clips import LabelClips
from pipeline.config.localize_actions import DetectionsEntry, FusedLocalizer
from pipeline.config.localizers import GtadSettings
from pipeline.config.losses import build_losses
from pipeline.config.make_acts import MakeActs
from pipeline.config.make_clips import MakeClips
from pipeline.config.make_demo import MakeDemo
from pipeline.config.mine_concepts import MineConcepts
from pipeline.config.pool_features import PoolFeatures
from pipeline.config.pretrain_encoder import EncoderEntry, GlobalFeature
from pipeline.config.probe_encoder import ProbeEncoder
from pipeline.config.propose_events import GroundTruthProposalSettings, LearnedProposalSettings, ProposalsEntry
from pipeline.config.proposers import BoundarySettings, ProposerSettings
from pipeline.config.recognize_clips import RecognizeClips
from pipeline.config.reencode import Reencode
from pipeline.config.render_grad_cam import RenderGradCam
from pipeline.config.select_captions import EnsembleMember, SelectCaptions
from pipeline.config.train_captioner import TEACHER, CaptionerEntry, CrossEntropySettings
from pipeline.config.train_localizer import LocalizerEntry
from pipeline.config.train_proposer import ProposerEntry
from pipeline.config.train_recognizer import RecognizerEntry
from pipeline.config.transfer_features import TransferFeatures
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
    make_clips: MakeClips = Field(MakeClips(), description="the synthetic clips (dataset democlips only)")
    make_acts: MakeActs = Field(MakeActs(), description="the synthetic clips of acts (dataset demoacts only)")
    build_corpus: BuildCorpus = Field(BuildCorpus(), description="annotations and raw videos")
    reencode: Reencode = Field(Reencode(), description="re-encoding at a constant frame rate")
    label_clips: LabelClips = Field(LabelClips(), description="class, group and captions of each clip")
    mine_concepts: MineConcepts = Field(MineConcepts(), description="concepts, vocabulary and IDF")
    pretrain_encoder: dict[str, EncoderEntry] = Field(
        {
            "initial": EncoderEntry(epochs=0, losses=build_losses(action=1.0)),
            "sa_tsp": EncoderEntry(global_feature=GlobalFeature(feature="initial")),
        },
        description="encoders, by name; `initial` has the initial weights of the others and is not trained here: its "
        "features are pooled to video features",
    )
    train_recognizer: dict[str, RecognizerEntry] = Field(
        {}, description="recognizers of clips, by name: two-channel networks of classes and captions"
    )
    extract_features: dict[str, FeatureEntry] = Field(
        {name: FeatureEntry(EncoderFeatureSettings(encoder=name)) for name in ("initial", "sa_tsp")},
        description="features, by name",
    )
    pool_features: PoolFeatures = Field(PoolFeatures(), description="one vector per video, pooled over its features")
    probe_encoder: ProbeEncoder = Field(ProbeEncoder(), description="linear probes of features")
    classify_videos: dict[str, ClassifierEntry] = Field(
        {"learned": ClassifierEntry(LearnedClassifierSettings())}, description="classifiers of whole videos, by name"
    )
    train_proposer: dict[str, ProposerEntry] = Field(
        {"learned": ProposerEntry(BoundarySettings(features=["sa_tsp"]))}, description="proposers, by name"
    )
    propose_events: dict[str, ProposalsEntry] = Field(
        {"gt": ProposalsEntry(GroundTruthProposalSettings()), "learned": ProposalsEntry(LearnedProposalSettings())},
        description="proposals, by name; `gt` and `learned` are scored",
    )
    train_localizer: dict[str, LocalizerEntry] = Field(
        {"gtad": LocalizerEntry(GtadSettings(features=["sa_tsp"]))}, description="localizers of actions, by name"
    )
    localize_actions: dict[str, DetectionsEntry] = Field(
        {"gtad": DetectionsEntry(localizers=[FusedLocalizer(localizer="gtad")])},
        description="detections of actions, by name",
    )
    evaluate_localization: EvaluateLocalization = Field(
        EvaluateLocalization(), description="scores of detections of actions"
    )
    analyze_localization: AnalyzeLocalization = Field(
        AnalyzeLocalization(), description="groups, false positives and similarity of features"
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
    evaluate_clips: EvaluateClips = Field(EvaluateClips(), description="scores of captions of clips")
    recognize_clips: RecognizeClips = Field(RecognizeClips(), description="predictions of recognizers")
    evaluate_recognition: EvaluateRecognition = Field(EvaluateRecognition(), description="scores of recognizers")
    transfer_features: TransferFeatures = Field(
        TransferFeatures(), description="few-shot classification of frozen features"
    )
    render_grad_cam: RenderGradCam = Field(RenderGradCam(), description="where a recognizer looks")
    analyze_clips: AnalyzeClips = Field(AnalyzeClips(), description="analyses of captioners of clips")
    write_submission: WriteSubmission = Field(
        WriteSubmission(), description="the submission file for the challenge's test set"
    )
    write_report: WriteReport = Field(WriteReport(), description="tables, plots and the report page")
    bundle_model: BundleModel = Field(BundleModel(), description="the folder that holds the trained model")
    compare_systems: dict[str, ComparisonEntry] = Field(
        DEFAULT_COMPARISONS, description="comparisons of captioning systems, by name: results/<dataset>_<name>.json"
    )
    compare_localization: CompareLocalization = Field(
        CompareLocalization(),
        description="the study of encoders on the tasks of localization: results/<dataset>_localization.json",
    )
    compare_results: dict[str, ResultsStudy] = Field(
        {}, description="tables of numbers of result files, by name: results/<dataset>_<name>.json"
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
        for name, recognizer in self.train_recognizer.items():
            step = self.reencode.fps / recognizer.clip.fps
            if abs(step - round(step)) > 1e-6:
                raise ValueError(f"train_recognizer.{name}.clip.fps {recognizer.clip.fps:g} must divide reencode.fps")
        return self

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        for feature in self.extract_features:
            _check_entries(f"extract_features.{feature}.encoder", self._encoders([feature]), self.pretrain_encoder)
        self._check_recognition()
        for name in self.pretrain_encoder:
            self._check_global_feature(name)
        for name, classifier in self.classify_videos.items():
            self._check_classifier(f"classify_videos.{name}", classifier.root)
        for name, proposer in self.train_proposer.items():
            self._check_proposer(f"train_proposer.{name}", proposer.root)
        for name, proposals in self.propose_events.items():
            if isinstance(proposals.root, LearnedProposalSettings):
                _check_entries(f"propose_events.{name}.proposer", [proposals.root.proposer], self.train_proposer)
        self._check_localization()
        for name, captioner in self.train_captioner.items():
            _check_streams(f"train_captioner.{name}.features", captioner.root.features, self.extract_features)
            self._check_teacher(name, captioner.root)
        _check_entries("finetune_scst.proposals", [self.finetune_scst.proposals], self.propose_events)
        members = [member.captioner for member in self.select_captions.members]
        _check_entries("select_captions.members", members, self.train_captioner)
        missing = {"gt", "learned"} - set(self.propose_events)
        if missing:
            raise ValueError(f"propose_events lacks {' and '.join(sorted(missing))}")
        return self

    def _check_teacher(self, name: str, captioner: CrossEntropySettings) -> None:
        """Check that the teacher of a captioner, if it names one, is trained on the same features and vocabulary."""
        teacher_name = captioner.architecture_settings.teacher_name
        if teacher_name is None:
            return
        key = f"train_captioner.{name}.teacher"
        _check_entries(key, [teacher_name], self.train_captioner)
        teacher = self.train_captioner[teacher_name].root
        if teacher.architecture != TEACHER:
            raise ValueError(f"{key}: {teacher_name} has the architecture {teacher.architecture}, not {TEACHER}")
        for setting in ("features", "align", "missing", "vocabulary", "max_words", "hidden", "heads", "layers"):
            if getattr(teacher, setting) != getattr(captioner, setting):
                raise ValueError(f"{key}: {teacher_name} has another {setting}; both need the same")

    @model_validator(mode="after")
    def _check_comparisons(self) -> Self:
        for name, comparison in self.compare_systems.items():
            key = f"compare_systems.{name}"
            _check_result_name(key, name)
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
        for name in self.compare_results:
            key = f"compare_results.{name}"
            _check_result_name(key, name)
            if name in self.compare_systems:
                raise ValueError(f"{key}: compare_systems has an entry of this name, whose result has the same file")
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

    def _check_classifier(self, key: str, classifier: ClassifierSettings) -> None:
        """Check that the features of a learned classifier exist, and that they are pooled as it needs."""
        if not isinstance(classifier, LearnedClassifierSettings):
            return
        _check_once(f"{key}.features", classifier.features, self.extract_features)
        for pool in classifier.pools:
            if pool not in self.pool_features.pools:
                raise ValueError(f"{key}.pools: {pool!r} is not in pool_features.pools")

    def _check_localization(self) -> None:
        """Check the references of localizers, of detections and of their scores."""
        for name, entry in self.train_localizer.items():
            key, localizer = f"train_localizer.{name}", entry.root
            _check_once(f"{key}.features", localizer.features, self.extract_features)
            if localizer.reads_proposals != (localizer.proposals is not None):
                needs = "needs proposals" if localizer.reads_proposals else "reads no proposals"
                raise ValueError(f"{key}.proposals = {localizer.proposals!r}, but {localizer.kind} {needs}")
            if localizer.proposals is not None:
                _check_entries(f"{key}.proposals", [localizer.proposals], self.propose_events)
        for name, detections in self.localize_actions.items():
            key = f"localize_actions.{name}"
            names = [fused.localizer for fused in detections.localizers]
            _check_entries(f"{key}.localizers", names, self.train_localizer)
            for localizer in (self.train_localizer[other].root for other in names):
                if localizer.has_classes == (detections.classifier is not None):
                    needs = "has classes of its own" if localizer.has_classes else "needs a classifier"
                    raise ValueError(f"{key}.classifier = {detections.classifier!r}, but {localizer.kind} {needs}")
            if detections.classifier is not None:
                _check_entries(f"{key}.classifier", [detections.classifier], self.classify_videos)
        scored = self.evaluate_localization
        for field in ("detections", "proposals"):
            _check_entries(f"evaluate_localization.{field}", [getattr(scored, field)], self.localize_actions)
        analyzed = self.analyze_localization
        _check_once("analyze_localization.detections", analyzed.detections, self.localize_actions)
        _check_once("analyze_localization.features", analyzed.features, self.extract_features)
        for system in self.compare_localization.systems:
            key = f"compare_localization.systems.{system.name}"
            _check_entries(key, system.detection_entries, self.localize_actions)
            _check_entries(f"{key}.feature", filter(None, [system.feature]), self.extract_features)
        _check_entries("compare_localization.captions", self.compare_localization.comparisons, self.compare_systems)

    def _check_proposer(self, key: str, proposer: ProposerSettings) -> None:
        """Check the features of a proposer, and that a captioner whose encoder it takes over is like it."""
        _check_streams(f"{key}.features", proposer.features, self.extract_features)
        encoder = proposer.trained_encoder
        if encoder is None:
            return
        _check_entries(f"{key}.encoder.captioner", [encoder.captioner], self.train_captioner)
        captioner = self.train_captioner[encoder.captioner].root
        for name in ("features", "align", "missing", *BiModalSettings.model_fields):
            values = [getattr(entry, name, None) for entry in (proposer, captioner)]
            if name != "dropout" and values[0] != values[1]:
                raise ValueError(
                    f"{key}.encoder: captioner {encoder.captioner!r} of architecture {captioner.architecture} has "
                    f"{name} {values[1]}, the proposer {values[0]}; give both the same"
                )

    def _check_recognition(self) -> None:
        """Check the references to recognizers, and those of the transfer to features."""
        for name, feature in self.extract_features.items():
            if isinstance(feature.root, RecognizerFeatureSettings) and feature.root.dataset is None:
                key = f"extract_features.{name}.recognizer"
                _check_entries(key, [feature.root.recognizer], self.train_recognizer)
        mapped = self.analyze_clips.word_maps
        _check_entries("analyze_clips.word_maps", [mapped] if mapped else [], self.extract_features)
        scored = self.evaluate_recognition.recognizers
        _check_entries("evaluate_recognition.recognizers", scored, self.train_recognizer)
        _check_once("transfer_features.features", self.transfer_features.features, self.extract_features)
        compared = self.transfer_features.features or list(self.extract_features)
        for name, classifier in self.transfer_features.classifiers.items():
            key = f"transfer_features.classifiers.{name}.features"
            _check_entries(key, classifier.root.features or [], compared)

    def feature_encoders(self) -> list[str]:
        """Return the encoders whose features the ensemble's captioners or the proposers read, sorted."""
        captioners = [self.train_captioner[member.captioner].root for member in self.select_captions.members]
        features = [feature for captioner in captioners for feature in captioner.feature_names]
        for name in self.used_proposers():
            features += self.train_proposer[name].root.feature_names
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


def _check_result_name(key: str, name: str) -> None:
    """Check the name of an entry whose result is `results/<dataset>_<name>.json`.

    Raises:
        ValueError: it may be the name of another result.
    """
    if not re.fullmatch(COMPARISON, name):
        raise ValueError(
            f"{key}: the name has small letters and digits, and is not that of another result (meteor, ...)"
        )


def _check_entries(key: str, names: Iterable[str], entries: Iterable[str]) -> None:
    """Check that names refer to entries of another section.

    Raises:
        ValueError: a name has no entry.
    """
    entries = set(entries)
    for name in names:
        if name not in entries:
            raise ValueError(f"{key} names {name!r}{nearest(name, entries)}")


def _check_streams(key: str, features: list[str] | dict[str, list[str]], entries: Iterable[str]) -> None:
    """Check the features of each stream; see `_check_once`."""
    for stream, names in name_streams(features).items():
        _check_once(f"{key}.{stream}" if isinstance(features, dict) else key, names, entries)


def _check_once(key: str, names: list[str], entries: Iterable[str]) -> None:
    """Check that names refer to entries of another section, each to another entry.

    Raises:
        ValueError: a name has no entry, or is there twice.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"{key} names an entry twice: {', '.join(names)}")
    _check_entries(key, names, entries)


def load_config(dataset: str, overrides: dict[str, Any], folder: Path = CONFIG) -> Config:
    """Load the configuration of one dataset.

    Args:
        dataset: name of a file in `config/datasets/`, or a variant `<name>_s<seed>` or `<name>_smoke` (see
            `pipeline.config.dataset_variants`). For `<name>_s<seed>`, `config/seeds/<name>.yaml` may change settings.
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
        config = _merge_files(seeded.base, overrides, folder, with_seed=True)
        return Config.parse(reseeded_config(config, seeded.base, seeded.seed), "")
    return Config.parse(_merge_files(dataset, overrides, folder), "")


def _merge_files(dataset: str, overrides: dict[str, Any], folder: Path, with_seed: bool = False) -> dict[str, Any]:
    """Merge the defaults, the dataset's file, what its variants of other seeds change, and the user's settings."""
    path = folder / "datasets" / f"{dataset}.yaml"
    if not path.is_file():
        datasets = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise PipelineError(f"no dataset {dataset!r}: {path} is missing; there are {datasets}")
    files = [folder / "config.yaml", path]
    of_seeds = folder / "seeds" / path.name
    if with_seed and of_seeds.is_file():
        files.append(of_seeds)
    return reduce(merge_settings, [*map(_read_once, files), overrides])


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

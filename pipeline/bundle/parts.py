"""The parts of a trained model: what the captions of an ensemble were made with, by their provenance."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.config.base import Settings
from pipeline.config.extract_features import (
    EncoderFeatureSettings,
    FeatureEntry,
    ImportedFeatureSettings,
    RecognizerFeatureSettings,
)
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.propose_events import LearnedProposalSettings, ProposalsEntry
from pipeline.config.select_captions import SelectCaptions
from pipeline.errors import PipelineError
from pipeline.io.atomic import sha256
from pipeline.provenance.record import Record, read_record

REMEDY = "make the captions again, with snakemake"

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class FeaturePart:
    """A feature, and what makes it.

    Attributes:
        settings: settings of its extraction.
        encoder: manifest of its encoder; None for a published network.
        weights: weight files that a published network read -> sha256.
    """

    settings: FeatureEntry
    encoder: Path | None
    weights: dict[Path, str]


@dataclass(frozen=True)
class ModelParts:
    """The parts of a trained model.

    Attributes:
        select_captions: settings of the ensemble.
        generate_captions: settings of decoding.
        captioners: manifest of each captioner, by the name of its member of the ensemble.
        proposals: how proposals are selected; None if the captions are not of learned proposals.
        proposer: manifest of the proposer; None likewise.
        features: the features that captioners and proposer read, by name.
    """

    select_captions: SelectCaptions
    generate_captions: GenerateCaptions
    captioners: dict[str, Path]
    proposals: LearnedProposalSettings | None
    proposer: Path | None
    features: dict[str, FeaturePart]

    @property
    def manifests(self) -> list[Path]:
        """Manifests of all trained parts, each once."""
        encoders = [feature.encoder for feature in self.features.values()]
        return list(dict.fromkeys(path for path in [*encoders, self.proposer, *self.captioners.values()] if path))

    @property
    def weights(self) -> dict[Path, str]:
        """Weight files of published networks -> sha256."""
        return {path: digest for feature in self.features.values() for path, digest in feature.weights.items()}


def find_parts(captions: Path) -> ModelParts:
    """Find the parts of the model that made some captions.

    Args:
        captions: captions of an ensemble, as `select_captions` wrote them.

    Raises:
        PipelineError: the file is no output of `select_captions`; a part has changed since the captions were made; a
            feature was imported from a file.
    """
    selection = _parse(read_origin(captions, "select_captions"), SelectCaptions)
    member_files = list(origins(captions, "generate_captions"))
    proposal_file = _the_only([path for file in member_files for path in origins(file, "propose_events")], captions)
    sections = [_parse(read_origin(file, "generate_captions"), GenerateCaptions) for file in member_files]
    if len({section.digest() for section in sections}) > 1:
        raise PipelineError(f"{captions}: its members were decoded with different settings; {REMEDY}")
    # `ensemble-test-learned.json` is selected from `sa_tsp-0-test-learned.json` and others.
    rest = captions.name.partition("-")[2]
    captioners = {}
    for member in selection.members:
        file = captions.with_name(f"{member.label}-{rest}")
        if file not in member_files:
            raise PipelineError(f"{captions}: was not selected from {file.name}, its member {member.label}; {REMEDY}")
        captioners[member.label] = _the_only(list(origins(file, "train_captioner", "finetune_scst")), file)
    proposals = _parse(read_origin(proposal_file, "propose_events"), ProposalsEntry).root
    proposer = None
    if isinstance(proposals, LearnedProposalSettings):
        proposer = _the_only(list(origins(proposal_file, "train_proposer")), proposal_file)
    readers = [*member_files, *([proposal_file] if proposer else [])]
    shards = {
        shard.parents[1].name: shard for reader in readers for shard in sorted(origins(reader, "extract_features"))
    }
    return ModelParts(
        selection,
        sections[0],
        captioners,
        proposals if isinstance(proposals, LearnedProposalSettings) else None,
        proposer,
        {name: _find_feature(name, shard) for name, shard in sorted(shards.items())},
    )


def _find_feature(name: str, shard: Path) -> FeaturePart:
    record = read_origin(shard, "extract_features")
    settings = _parse(record, FeatureEntry)
    if isinstance(settings.root, ImportedFeatureSettings):
        raise PipelineError(
            f"{shard}: the feature {name} was imported from {settings.root.file}, so nothing can make it for other "
            "videos; select captioners and a proposer without it"
        )
    if isinstance(settings.root, RecognizerFeatureSettings):
        raise PipelineError(
            f"{shard}: the feature {name} is that of the recognizer {settings.root.recognizer}, which bundles do not "
            "hold; select captioners and a proposer without it"
        )
    if isinstance(settings.root, EncoderFeatureSettings):
        return FeaturePart(settings, _the_only(list(origins(shard, "pretrain_encoder")), shard), {})
    weights = {path: digest for path, digest in record.inputs.items() if read_record(path) is None}
    for path, digest in weights.items():
        _check_unchanged(path, digest, shard)
    return FeaturePart(settings, None, weights)


def read_origin(output: Path, stage: str) -> Record:
    """Read the provenance record of an output.

    Raises:
        PipelineError: another stage made it, or none.
    """
    record = read_record(output)
    if record is None or record.stage != stage:
        origin = f"was made by {record.stage}" if record else "has no provenance record"
        raise PipelineError(f"{output}: {origin}; expected an output of {stage}")
    return record


def origins(output: Path, *stages: str) -> Iterator[Path]:
    """Yield the inputs of an output that some stages made.

    Raises:
        PipelineError: the output has no provenance record, or such an input has changed since.
    """
    record = read_record(output)
    if record is None:
        raise PipelineError(f"{output}: has no provenance record; {REMEDY}")
    for path, digest in record.inputs.items():
        origin = read_record(path)
        if origin is not None and origin.stage in stages:
            _check_unchanged(path, digest, output)
            yield path


def _check_unchanged(path: Path, digest: str, output: Path) -> None:
    if not path.is_file() or sha256(path) != digest:
        raise PipelineError(f"{path}: missing, or changed since {output} was made from it; {REMEDY}")


def _parse(record: Record, section: type[S]) -> S:
    return section.parse(record.config, record.stage)


def _the_only(paths: list[Path], output: Path) -> Path:
    """Return the one path of a list.

    Raises:
        PipelineError: there is none, or they differ.
    """
    if len(set(paths)) != 1:
        listed = ", ".join(sorted({str(path) for path in paths})) or "none"
        raise PipelineError(f"{output}: expected one origin, its provenance names {listed}; {REMEDY}")
    return paths[0]

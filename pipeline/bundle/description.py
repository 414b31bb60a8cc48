"""The description of a model folder: the parts that it holds, and the settings that it captions with.

A model folder holds

    manifest.json             all files with their sha256; the version of this format
    model.json                the description
    README.md                 the model card
    encoders/ENCODER/         each encoder: weights and architecture, with a manifest of their own
    proposer/                 likewise; absent if the events of the captions were not learned
    captioners/CAPTIONER/     likewise, with the vocabulary
    concepts.json, idf.json   what decides between the captions of several captioners
    weights/FEATURE/          weights of your own for a published network

Weights are safetensors; all else is JSON, and the card Markdown. A file of published weights is not copied: the
description names it, with sha256, address and licence. No listed file names a path outside the folder. The provenance
record of the rule need not be sent.
"""

from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.extract_features import EncoderFeatureSettings, FeatureEntry
from pipeline.config.generate_captions import GenerateCaptions
from pipeline.config.propose_events import LearnedProposalSettings
from pipeline.config.select_captions import SelectCaptions
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, sha256, write_json
from pipeline.provenance.manifest import MANIFEST, Manifest, read_manifest

KIND = "model"
"""Value of the manifest's key `kind`."""
VERSION = 1
"""Version of the format. A reader refuses newer versions."""
DESCRIPTION, CARD = "model.json", "README.md"
CONCEPTS, IDF = "concepts.json", "idf.json"
PROPOSER = f"proposer/{MANIFEST}"
REMEDY = "copy the model folder again"


class ModelWeightFile(Section):
    """A weight file that a published network reads."""

    file: str = Field(description="name of the file")
    sha256: str = Field(description="of the file")
    url: str = Field(description="address where it is published; empty if it is not published")
    licence: str = Field(description="as its publishers state it")
    is_copied: bool = Field(description="whether the model folder holds it")


class ModelFeature(Section):
    """A feature that the model reads."""

    settings: FeatureEntry = Field(description="settings of its extraction")
    weights: list[ModelWeightFile] = Field(description="files that a published network reads, the main one first")

    @property
    def encoder(self) -> str | None:
        """The encoder of the folder that makes the feature; None for a published network."""
        settings = self.settings.root
        return settings.encoder if isinstance(settings, EncoderFeatureSettings) else None


class ExternalData(Section):
    """ActivityNet's statement on external data."""

    used: bool
    details: str


class ModelDescription(Section):
    """The description of a model folder."""

    title: str
    dataset: str = Field(description="name of the dataset that the model was trained on")
    licence: str
    language: str
    features: dict[str, ModelFeature] = Field(min_length=1)
    proposals: LearnedProposalSettings | None = Field(description="null: the model has no proposer")
    generate_captions: GenerateCaptions
    select_captions: SelectCaptions
    external_data: ExternalData
    scores: list[dict[str, Any]] = Field(description="scores on the split test, points of 100")
    evaluator: dict[str, Any] = Field(description="what computed the scores")

    @property
    def captioners(self) -> list[str]:
        """Names of the captioners, in the order of the ensemble."""
        return [member.label for member in self.select_captions.members]

    @property
    def encoders(self) -> list[str]:
        """Names of the encoders, sorted."""
        return sorted({feature.encoder for feature in self.features.values() if feature.encoder is not None})

    @property
    def parts(self) -> list[str]:
        """Manifests of the trained parts, relative to the folder."""
        proposer = [] if self.proposals is None else [PROPOSER]
        return [*map(encoder_part, self.encoders), *proposer, *map(captioner_part, self.captioners)]

    def write(self, path: Path) -> None:
        """Write the description, without the settings of the machine."""
        write_json(path, self.result_settings())


def encoder_part(name: str) -> str:
    """Return the manifest of an encoder, relative to the folder."""
    return f"encoders/{name}/{MANIFEST}"


def captioner_part(name: str) -> str:
    """Return the manifest of a captioner, relative to the folder."""
    return f"captioners/{name}/{MANIFEST}"


def read_model_manifest(folder: Path) -> Manifest:
    """Read the manifest of a model folder.

    Raises:
        PipelineError: there is no such folder, it is no model folder, its format is newer than this program, or it
            lists files outside the folder.
    """
    if not folder.is_dir():
        raise PipelineError(f"{folder}: no such model folder")
    if not (folder / MANIFEST).is_file():
        raise PipelineError(
            f"{folder}: not a model folder, it has no {MANIFEST}; the rule bundle_model writes one: "
            "snakemake results/DATASET/model/manifest.json"
        )
    manifest = read_manifest(folder / MANIFEST)
    version = manifest.metadata.get("version")
    if manifest.metadata.get("kind") != KIND or not isinstance(version, int):
        raise PipelineError(
            f"{manifest.path}: the manifest of something else; give the folder that the rule bundle_model wrote"
        )
    if version > VERSION:
        raise PipelineError(
            f"{manifest.path}: version {version} of the format, this program reads up to {VERSION}; install a newer one"
        )
    return manifest


def check_file(manifest: Manifest, name: str) -> Path:
    """Check a file of a model folder against the folder's manifest, and return its path.

    Raises:
        PipelineError: the manifest does not list it, or it is missing or changed.
    """
    path = manifest.path.parent / name
    if name not in manifest.files:
        raise PipelineError(f"{manifest.path}: lists no {name}, which the model needs; {REMEDY}")
    if not path.is_file():
        raise PipelineError(f"{path}: missing, although {MANIFEST} lists it; {REMEDY}")
    if path.stat().st_size != manifest.files[name]["bytes"] or sha256(path) != manifest.files[name]["sha256"]:
        raise PipelineError(f"{path}: its sha256 is not that in {MANIFEST}, so it was changed or damaged; {REMEDY}")
    return path


def read_description(manifest: Manifest) -> ModelDescription:
    """Read the description of a model folder.

    Raises:
        PipelineError: it is missing, changed or malformed, or the manifest does not list a part that it names.
    """
    path = check_file(manifest, DESCRIPTION)
    description = ModelDescription.parse(read_json(path, "description of a model"), str(path))
    for name in [*description.parts, CONCEPTS, IDF]:
        if name not in manifest.files:
            raise PipelineError(f"{manifest.path}: lists no {name}, which {DESCRIPTION} names; {REMEDY}")
    return description

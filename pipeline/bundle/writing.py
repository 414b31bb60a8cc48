"""Writing a model folder: the trained parts, the description and the card, and last the manifest."""

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.bundle.card import build_card
from pipeline.bundle.description import (
    CARD,
    CONCEPTS,
    DESCRIPTION,
    IDF,
    KIND,
    PROPOSER,
    VERSION,
    ModelDescription,
    ModelWeightFile,
    captioner_part,
    encoder_part,
)
from pipeline.bundle.parts import FeaturePart, ModelParts
from pipeline.captioning.bundle import ATTRIBUTES
from pipeline.config.bundle_model import BundleModel
from pipeline.config.extract_features import FeatureEntry
from pipeline.config.extractors import EXTRACTORS, RANDOM, PublishedFeatureSettings
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json, replace_atomically, write_json, write_text
from pipeline.provenance.manifest import read_manifest, write_manifest
from pipeline.report.tables import score_rows

WEIGHTS, ARCHITECTURE, VOCABULARY = "model.safetensors", "config.json", "vocabulary.json"
PART_FOLDERS = ("encoders", "proposer", "captioners", "weights")


def write_model_folder(
    parts: ModelParts,
    settings: BundleModel,
    dataset: str,
    captions: Path,
    scores: Path,
    texts: Sequence[Path],
    output: Path,
) -> None:
    """Write a model folder.

    Args:
        parts: the trained parts.
        settings: the section.
        dataset: name of the dataset.
        captions: captions of the model, for their statement on external data.
        scores: scores of these captions, as `evaluate` wrote them.
        texts: concepts, and IDF of words.
        output: the manifest to write.
    """
    folder = output.parent
    output.unlink(missing_ok=True)
    for name in PART_FOLDERS:  # an earlier model may have had other parts
        shutil.rmtree(folder / name, ignore_errors=True)
    for feature in parts.features.values():
        if feature.encoder is not None:
            copy_encoder(feature.encoder, folder / encoder_part(_encoder_name(feature)))
    if parts.proposer is not None:
        copy_part(parts.proposer, folder / PROPOSER, [WEIGHTS, ARCHITECTURE])
    for name, manifest in parts.captioners.items():
        attributes = [ATTRIBUTES] if ATTRIBUTES in read_manifest(manifest).files else []
        copy_part(manifest, folder / captioner_part(name), [WEIGHTS, ARCHITECTURE, VOCABULARY, *attributes])
    for source, name in zip(texts, (CONCEPTS, IDF), strict=True):
        write_json(folder / name, read_json(source))
    description = describe(parts, settings, dataset, captions, scores)
    for name, entry in description.features.items():
        copied = {file.file for file in entry.weights if file.is_copied}
        for path in parts.features[name].weights:
            if path.name in copied:
                copy_file(path, folder / "weights" / name / path.name)
    description.write(folder / DESCRIPTION)
    files = [folder / name for name in (DESCRIPTION, CONCEPTS, IDF)]
    files += [path for name in PART_FOLDERS for path in (folder / name).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    write_text(folder / CARD, build_card(description, size))
    metadata = {"kind": KIND, "version": VERSION, "features": list(description.features)}
    metadata |= {"captioners": description.captioners, "proposer": parts.proposer is not None}
    write_manifest(output, [*files, folder / CARD], metadata)


def describe(parts: ModelParts, settings: BundleModel, dataset: str, captions: Path, scores: Path) -> ModelDescription:
    """Return the description of a model; see `write_model_folder`.

    Raises:
        PipelineError: features were extracted with different `tail`, although a video is decoded once for all.
    """
    tails = {name: getattr(feature.settings.root, "tail", "") for name, feature in parts.features.items()}
    if len(set(tails.values())) > 1:
        listed = ", ".join(f"{name}: {tail}" for name, tail in tails.items())
        raise PipelineError(
            f"extract_features: tail differs ({listed}); a model decodes a video once: give all the same"
        )
    result = read_json(scores, "scores")
    plain: dict[str, Any] = {
        "title": settings.title,
        "dataset": dataset,
        "licence": settings.licence,
        "language": settings.language,
        "features": {name: _describe_feature(feature) for name, feature in parts.features.items()},
        "proposals": None if parts.proposals is None else parts.proposals.result_settings(),
        "generate_captions": parts.generate_captions.result_settings(),
        "select_captions": parts.select_captions.result_settings(),
        "external_data": read_json(captions, "captions")["external_data"],
        "scores": score_rows(result),
        "evaluator": _describe_evaluator(result["evaluator"]),
    }
    return ModelDescription.parse(plain, DESCRIPTION)


def _describe_feature(feature: FeaturePart) -> dict[str, Any]:
    settings = feature.settings.root
    if not isinstance(settings, PublishedFeatureSettings):
        return {"settings": feature.settings.result_settings(), "weights": []}
    # The place of the weights on the machine that trained means nothing elsewhere.
    name = RANDOM if settings.weights == RANDOM else PurePosixPath(settings.weights).name
    entry = FeatureEntry(settings.model_copy(update={"weights": name}))
    extra = {file.file for file in EXTRACTORS[settings.extractor].extra_weights}
    main_first = sorted(feature.weights.items(), key=lambda item: item[0].name in extra)
    weights = [_describe_weights(settings.extractor, path, digest) for path, digest in main_first]
    return {
        "settings": entry.result_settings(),
        "weights": [file.model_dump(mode="json") for file in weights],
    }


def _describe_weights(extractor: str, path: Path, digest: str) -> ModelWeightFile:
    spec = EXTRACTORS[extractor]
    published = next((file for file in spec.extra_weights if file.file == path.name), spec.weights)
    return ModelWeightFile(
        file=path.name,
        sha256=digest,
        url=published.url,
        licence=published.licence,
        is_copied=not published.url and path.suffix == ".safetensors",
    )


def _describe_evaluator(evaluator: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies the evaluator; of the references only their sha256, not their place on this machine."""
    references = [reference["sha256"] for reference in evaluator.get("references", [])]
    rest = {key: value for key, value in evaluator.items() if key != "references"}
    return rest | {"references_sha256": references}


def _encoder_name(feature: FeaturePart) -> str:
    return str(getattr(feature.settings.root, "encoder", ""))


def copy_part(source: Path, target: Path, names: Sequence[str]) -> None:
    """Copy some files of a trained part, and write a manifest of them with the same metadata.

    Args:
        source: manifest of the part.
        target: manifest of the copy.
        names: the files.

    Raises:
        PipelineError: a file is missing or damaged.
    """
    manifest = read_manifest(source)
    for name in names:
        copy_file(manifest.file(name), target.with_name(name))
    write_manifest(target, [target.with_name(name) for name in names], manifest.metadata)


def copy_encoder(source: Path, target: Path) -> None:
    """Copy an encoder like another part; of its initial weights only the file name is left, not their folder."""
    copy_part(source, target, [WEIGHTS, ARCHITECTURE])
    path = target.with_name(ARCHITECTURE)
    description = read_json(path, "encoder description")
    initial = description["pretrain_encoder"].get("initial_weights")
    description["pretrain_encoder"]["initial_weights"] = initial and PurePosixPath(initial).name
    write_json(path, description)
    write_manifest(target, [target.with_name(WEIGHTS), path], read_manifest(target).metadata)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; the copy is complete or absent."""
    with replace_atomically(target) as temporary:
        shutil.copyfile(source, temporary)

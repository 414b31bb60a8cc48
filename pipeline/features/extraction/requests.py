"""Which features a command line or a section of the configuration asks for, and who makes them."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.extract_features import (
    AnyVideos,
    ExtractFeatures,
    OwnFeature,
    PublishedFeature,
    PublishedOptions,
)
from pipeline.encoders.model import read_encoder
from pipeline.errors import PipelineError
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.clip_encoder import OwnEncoder
from pipeline.features.networks.options import Options
from pipeline.features.networks.registry import POOL, build
from pipeline.training.device import pick

RANDOM, ALL = "random", ""


@dataclass(frozen=True)
class Feature:
    """A feature that is wanted.

    Attributes:
        section: how it is made.
        extractor: who makes it.
        files: what the extractor was made from.
        manifest: where it goes.
    """

    section: ExtractFeatures
    extractor: Extractor
    files: Sequence[Path]
    manifest: Path


def of_rule(args: argparse.Namespace, section: ExtractFeatures, root: OwnFeature | PublishedFeature) -> Feature:
    """The feature that a section of the configuration describes.

    Raises:
        PipelineError: an encoder or weights that are not there.
    """
    if isinstance(root, PublishedFeature):
        return _published(section, root, args.output)
    if len(args.encoder) != 1:
        raise PipelineError(f"--encoder: give the manifest of the encoder {root.encoder!r}")
    return _own(section, root, Path(args.encoder[0]), args.output)


def named(args: argparse.Namespace, options: AnyVideos) -> list[Feature]:
    """The features that a command line names.

    Raises:
        PipelineError: names that nobody knows, or nobody asked for; an encoder or weights that are not there.
    """
    encoders = {name or Path(path).parent.name: path for name, path in map(_assigned, args.encoder)}
    weights = {name or ALL: path for name, path in map(_assigned, args.weights)}
    if weights.get(ALL, RANDOM) != RANDOM:
        raise PipelineError(f"--weights {weights[ALL]}: say of which network: NAME={weights[ALL]}")
    for name in args.features:
        if name not in encoders and name not in POOL:
            raise PipelineError(f"--features {name}: not known; known are {', '.join([*encoders, *POOL])}")
    for option, names in (("--weights", weights), ("--encoder", encoders)):
        unasked = sorted(names.keys() - {ALL, *args.features})
        if unasked:
            raise PipelineError(f"{option} {unasked[0]}=...: --features does not name it")
    chosen = set(PublishedOptions.model_fields)
    of_all = {"max_rejected": 1.0, **options.model_dump(exclude={"stride", *chosen})}
    found = []
    for name in dict.fromkeys(args.features):
        output = args.output / name / "0000" / "manifest.json"
        if name in encoders:
            own = OwnFeature(encoder=name, stride=options.stride, **of_all)
            found.append(_own(ExtractFeatures(own), own, Path(encoders[name]), output))
            continue
        if name not in weights and ALL not in weights:
            wanted = POOL[name].weights.wanted
            raise PipelineError(f"--features {name}: wants --weights {name}=FILE (or {name}=random): {wanted}")
        published = PublishedFeature(
            extractor=name, weights=weights.get(name, RANDOM), **of_all, **options.model_dump(include=chosen)
        )
        found.append(_published(ExtractFeatures(published), published, output))
    return found


def _assigned(word: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    return (name, value) if sign else ("", name)


def _own(section: ExtractFeatures, root: OwnFeature, encoder: Path, manifest: Path) -> Feature:
    extractor = OwnEncoder(root.encoder, read_encoder(encoder), root.stride, pick(root.device))
    return Feature(section, extractor, [encoder], manifest)


def _published(section: ExtractFeatures, root: PublishedFeature, manifest: Path) -> Feature:
    weights = Path(root.weights)
    options = Options(root.stride, root.flow, root.vggish_relu, root.vggish_pca)
    extractor = build(root.extractor, "random" if root.weights == RANDOM else weights, pick(root.device), options)
    return Feature(section, extractor, extractor.files, manifest)

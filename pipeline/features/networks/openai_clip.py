"""CLIP (Radford et al., 2021): image encoders, built by the optional library open_clip."""

import importlib
from functools import partial

from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.errors import PipelineError
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import CLIP, CLIP_224, CLIP_288, image_input

GEOMETRIES = {"RN50x4-quickgelu": CLIP_288}
"""Geometry of the models whose input is not 224 x 224."""


def build(context: BuildContext[PublishedFeatureSettings], model: str) -> BuiltExtractor:
    """Build the image encoder of a CLIP model. It sees the first frame of a window.

    The feature is the projected embedding in float32, not normalised.

    Args:
        context: of the extractor.
        model: open_clip's name of the model, `ViT-B-32-quickgelu`.

    Raises:
        PipelineError: open_clip is not installed.
    """
    import_torchvision()  # open_clip imports it
    try:
        open_clip = importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"{context.source.extractor} needs open_clip ({error}): pip install open_clip_torch, "
            "or pip install '.[clip]'"
        ) from None
    with context.source.seeded_init():
        network = open_clip.create_model(model, pretrained=None).visual
    metadata = context.load_weights(network, rename_tensor)
    geometry = GEOMETRIES.get(model, CLIP_224)
    transform = partial(image_input, geometry, CLIP)
    return BuiltExtractor(network, transform, {**metadata, "geometry": geometry.metadata, "model": model})


def rename_tensor(name: str) -> str | None:
    """Map a tensor name of the file to the image encoder's; None for tensors of the text encoder."""
    return name.removeprefix("visual.") if name.startswith("visual.") else None

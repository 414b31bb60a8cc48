"""VGG16 (Simonyan and Zisserman, 2015), torchvision's."""

from functools import partial

from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import IMAGENET, SHORT_256, image_input
from pipeline.features.networks.weights import drop_prefixes

NUM_LAYERS = 2
"""Layers of torchvision's `classifier` that are kept: the first linear layer (fc6) and its ReLU, as in the notebook of
Mahdisoltani et al. (2018). The others, from `classifier.3` on, are dropped."""


def build(context: BuildContext[PublishedFeatureSettings]) -> BuiltExtractor:
    """Build VGG16 up to the first of its three linear layers. It sees the first frame of a window.

    Args:
        context: of the extractor.
    """
    with context.source.seeded_init():
        network = import_torchvision("torchvision.models").vgg16(weights=None)
    network.classifier = network.classifier[:NUM_LAYERS]
    metadata = context.load_weights(network, drop_prefixes("classifier.3.", "classifier.6."))
    transform = partial(image_input, SHORT_256, IMAGENET)
    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata})

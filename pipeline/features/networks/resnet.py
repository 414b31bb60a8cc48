"""ResNet-101 and ResNet-152 (He et al., 2016), torchvision's."""

from functools import partial

from torch import nn

from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import IMAGENET, SHORT_256, image_input
from pipeline.features.networks.weights import drop_prefixes


def build(context: BuildContext[PublishedFeatureSettings], model: str) -> BuiltExtractor:
    """Build a ResNet without its classification layer. It sees the first frame of a window.

    Args:
        context: of the extractor.
        model: torchvision's name of the model, `resnet152`.
    """
    with context.source.seeded_init():
        network = getattr(import_torchvision("torchvision.models"), model)(weights=None)
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            for block in layer:  # with random weights each of many blocks would double the activations
                nn.init.constant_(block.bn3.weight, 0.2)
    network.fc = nn.Identity()
    metadata = context.load_weights(network, drop_prefixes("fc."))
    transform = partial(image_input, SHORT_256, IMAGENET)
    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata})

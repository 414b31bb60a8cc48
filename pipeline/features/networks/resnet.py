"""ResNet-152 (He et al., 2016), torchvision's."""

from functools import partial

from torch import nn

from pipeline.config.extractors import PublishedFeatureSettings
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.features.networks.base import BuildContext, BuiltExtractor
from pipeline.features.networks.image_transforms import IMAGENET, SHORT_256, image_input
from pipeline.features.networks.weights import drop_prefixes


def build(context: BuildContext[PublishedFeatureSettings]) -> BuiltExtractor:
    """Build ResNet-152 without its classification layer. It sees the first frame of a window."""
    with context.source.seeded_init():
        network = import_torchvision("torchvision.models").resnet152(weights=None)
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            for block in layer:  # with random weights each of 50 blocks would double the activations
                nn.init.constant_(block.bn3.weight, 0.2)
    network.fc = nn.Identity()
    metadata = context.load_weights(network, drop_prefixes("fc."))
    transform = partial(image_input, SHORT_256, IMAGENET)
    return BuiltExtractor(network, transform, {**metadata, "geometry": SHORT_256.metadata})

"""What may be chosen about the pool's extractors; what was chosen is written into their facts."""

from dataclasses import dataclass

from pipeline.features.networks.flow import Method


@dataclass(frozen=True)
class Options:
    """Choices. Each extractor takes heed of those that concern it.

    Attributes:
        stride: from one window to the next, in frames (sound: samples) at the extractor's rate; None is its own.
        flow: of `i3d_flow` and `tsn_flow`.
        vggish_relu: whether VGGish's last layer is rectified, as in most features that were published by others.
        vggish_pca: whether VGGish's features are whitened and quantised, as AudioSet's own were.
    """

    stride: int | None = None
    flow: Method = "raft"
    vggish_relu: bool = True
    vggish_pca: bool = False

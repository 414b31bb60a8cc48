"""The network of P-GCN (Zeng et al., 2019, section 3.3): two graph convolutions, and three heads.

Each proposal is classified from the tree of 21 nodes of `pipeline.localization.pgcn.graph`. The edges of a node are
weighted by cosine similarity (equation 6), negative ones count 0; its children share a weight of 1 and the node itself
has 1. Only the centre and its children gather neighbours, so the 16 leaves enter as features alone. The output of the
second convolution is needed for the centre alone. The authors' code computes all 21 rows of both convolutions; the
result is the same.

One graph sees the activity features and classifies the action. The other sees the completeness features; it scores for
each class how complete the proposal is, and regresses its boundaries.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.features.cache import FeatureNorm
from pipeline.localization.pgcn.graph import NUM_CHILDREN, NUM_NODES

HIDDEN = 512
"""Channels between the two convolutions."""
GRAPH_DROPOUT = 0.7
"""Dropout between the two convolutions."""
ACTIVITY_DROPOUT = 0.8
"""Dropout before the head of the activity."""
HEAD_STD = 0.001
"""Deviation of the initial weights of the heads."""

_EPSILON = 1e-8
"""Smallest norm in a cosine similarity."""


class PgcnScores(NamedTuple):
    """Raw scores of proposals.

    Attributes:
        activity: logits of the classes; class 0 is the background.
        completeness: of each class without the background.
        regression: standardised shift of the centre and logarithm of the ratio of lengths, for each class without the
            background.
    """

    activity: Float[Tensor, "centres classes1"]
    completeness: Float[Tensor, "centres classes"]
    regression: Float[Tensor, "centres classes 2"]


class GraphConvolution(nn.Module):
    """A graph convolution: the neighbours' weighted sum, then a linear layer.

    Args:
        dim: channels of the input.
        out_dim: channels of the output.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        bound = out_dim**-0.5
        self.weight = nn.Parameter(torch.empty(dim, out_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_dim).uniform_(-bound, bound))

    def forward(
        self, nodes: Float[Tensor, "centres nodes dim"], edges: Float[Tensor, "centres rows nodes"]
    ) -> Float[Tensor, "centres rows out"]:
        """Convolve.

        Args:
            nodes: features of the nodes.
            edges: weight of each node (last axis) for each row of the output.
        """
        return edges @ nodes @ self.weight + self.bias


class CentreGcn(nn.Module):
    """Two graph convolutions; the result is the feature of the centre, followed by the centre's own input.

    Args:
        dim: channels of the nodes.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gc1 = GraphConvolution(dim, HIDDEN)
        self.gc2 = GraphConvolution(HIDDEN, dim)

    def forward(self, nodes: Float[Tensor, "centres 21 dim"]) -> Float[Tensor, "centres dim2"]:
        """Convolve the tree of each centre."""
        edges = tree_edges(nodes)
        hidden = functional.relu(self.gc1(nodes, edges))
        hidden = functional.dropout(hidden, GRAPH_DROPOUT, self.training)
        centre = self.gc2(hidden, edges[:, :1, : 1 + NUM_CHILDREN])[:, 0]
        return torch.cat([centre, nodes[:, 0]], 1)


def tree_edges(nodes: Float[Tensor, "centres 21 dim"]) -> Float[Tensor, "centres 5 21"]:
    """Compute the edge weights of the centre and of its children: masked, non-negative cosine similarities."""
    inner = nodes[:, : 1 + NUM_CHILDREN]
    norms = nodes.norm(dim=2).clamp_min(_EPSILON)
    cosine = inner @ nodes.transpose(1, 2) / (norms[:, : 1 + NUM_CHILDREN, None] * norms[:, None])
    return functional.relu(cosine * _tree_mask(nodes))


def _tree_mask(nodes: Float[Tensor, "centres 21 dim"]) -> Float[Tensor, "5 21"]:
    """Return the weights before the cosine: 1 for the node itself, and 1 shared by its children."""
    mask = nodes.new_zeros(1 + NUM_CHILDREN, NUM_NODES)
    for row in range(1 + NUM_CHILDREN):
        first = 1 + NUM_CHILDREN * row
        mask[row, row] = 1.0
        mask[row, first : first + NUM_CHILDREN] = 1 / NUM_CHILDREN
    return mask


class PgcnNetwork(nn.Module):
    """P-GCN. The names of the weights are those of the authors' code.

    Attributes:
        feature_norm: normalisation of the features before they are pooled.
        target_mean: of the regression targets, by which they are standardised.
        target_std: likewise.

    Args:
        num_classes: classes without the background.
        dim: channels of the features.
    """

    target_mean: Float[Tensor, "2"]
    target_std: Float[Tensor, "2"]

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.feature_norm = FeatureNorm(dim)
        self.register_buffer("target_mean", torch.zeros(2))
        self.register_buffer("target_std", torch.ones(2))
        self.activity_fc = nn.Linear(2 * dim, num_classes + 1)
        self.completeness_fc = nn.Linear(6 * dim, num_classes)
        self.regressor_fc = nn.Linear(6 * dim, 2 * num_classes)
        for head in (self.activity_fc, self.completeness_fc, self.regressor_fc):
            nn.init.normal_(head.weight, 0.0, HEAD_STD)
            nn.init.zeros_(head.bias)
        self.Act_GCN = CentreGcn(dim)
        self.Comp_GCN = CentreGcn(3 * dim)

    def forward(
        self, activity: Float[Tensor, "centres 21 dim"], completeness: Float[Tensor, "centres 21 dim3"]
    ) -> PgcnScores:
        """Score the centres of trees.

        Args:
            activity: activity features of the nodes.
            completeness: completeness features of the nodes.
        """
        activity_features = functional.dropout(self.Act_GCN(activity), ACTIVITY_DROPOUT, self.training)
        completeness_features = self.Comp_GCN(completeness)
        regression = self.regressor_fc(completeness_features)
        return PgcnScores(
            self.activity_fc(activity_features),
            self.completeness_fc(completeness_features),
            regression.view(len(regression), -1, 2),
        )

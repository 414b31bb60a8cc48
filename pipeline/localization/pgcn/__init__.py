"""P-GCN: graph convolutions over the proposals of a video (Zeng et al., 2019)."""

"""G-TAD (Xu et al., 2020): sub-graph localization for temporal action detection."""

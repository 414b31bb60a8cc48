"""The boundary-matching network of Lin et al. (ICCV 2019), as the implementation that TSP used computes it."""

"""The boundary-matching network (Lin et al., ICCV 2019), as in the implementation that TSP used."""

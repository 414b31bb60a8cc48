"""Commands for people, behind `sa-tsp`; no rule of the workflow calls them."""

"""What a user sees of a run while it lasts: jobs, their progress, and the time left. The Snakefile switches it on."""

"""Two videos for which the published boundary-matching network's targets and losses are stored as golden values."""

EVENTS = {
    "v_QOlSCBRmfWY": [(6.195294851794072, 77.73085420904837)],
    "v_-2VzSMAdzl4": [
        (36.23953822152886, 42.51176599063962),
        (45.29942277691106, 99.31027301092043),
        (111.85472854914197, 210.8354212168487),
    ],
}
"""Action segments in TSP's tables, seconds."""

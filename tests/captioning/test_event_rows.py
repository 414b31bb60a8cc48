"""The feature rows of events: padded, and at most so many of a long event."""

import torch

from pipeline.captioning.streams import gather_event_rows
from pipeline.features.time_grid import snippet_centres

FEATURES = torch.arange(2 * 60, dtype=torch.float32).view(2, 60, 1)
SEQUENCES = torch.tensor([0, 1, 1])
EVENTS = torch.tensor([[0, 60], [10, 12], [5, 45]])


def test_a_limit_takes_the_rows_in_the_middles_of_equal_parts() -> None:
    rows, mask = gather_event_rows(FEATURES, SEQUENCES, EVENTS, limit=28)
    assert mask.sum(1).tolist() == [28, 2, 28]
    assert rows[0, :, 0].tolist() == snippet_centres(60, 28)
    assert rows[1, :2, 0].tolist() == [70, 71]
    assert rows[2, :, 0].tolist() == [60 + 5 + row for row in snippet_centres(40, 28)]
    assert not rows[~mask].any()


def test_a_limit_that_no_event_reaches_changes_nothing() -> None:
    for limited, plain in zip(
        gather_event_rows(FEATURES, SEQUENCES, EVENTS, limit=60),
        gather_event_rows(FEATURES, SEQUENCES, EVENTS),
        strict=True,
    ):
        assert torch.equal(limited, plain)

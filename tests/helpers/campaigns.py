"""Cases of a test that only campaigns run."""

from collections.abc import Iterable

import pytest


def quick_cases(cases: Iterable[object], count: int) -> list[object]:
    """Return the cases of a parametrized test, all but the first ones with marker campaign.

    Args:
        cases: the values of one parameter.
        count: number of cases without the marker.
    """
    return [
        case if number < count else pytest.param(case, marks=pytest.mark.campaign) for number, case in enumerate(cases)
    ]

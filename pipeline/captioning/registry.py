"""The captioners, by name.

A captioner is built from an `Architecture`, and has what the event captioner has: `encode`, `forward`, and the steps
that decoding takes; whoever derives from it replaces what is to be different.
"""

from pipeline.captioning.event_captioner import Captioner
from pipeline.errors import PipelineError

CAPTIONERS: dict[str, type[Captioner]] = {
    "events": Captioner,
}


def named(name: str) -> type[Captioner]:
    """A captioner by its name.

    Raises:
        PipelineError: there is none; lists those that there are.
    """
    if name not in CAPTIONERS:
        raise PipelineError(f"captioner architecture {name!r} is not known; known are {', '.join(CAPTIONERS)}")
    return CAPTIONERS[name]


def name_of(captioner: Captioner) -> str:
    """The name of what a captioner is."""
    return next(name for name, kind in CAPTIONERS.items() if type(captioner) is kind)

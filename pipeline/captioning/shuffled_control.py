"""The control: each video is captioned from the clip features of another."""

from collections.abc import Sequence

from pipeline.captioning.data import EventSequence
from pipeline.errors import PipelineError
from pipeline.features.combined import Features
from pipeline.training.seeds import generator


def derange(videos: Sequence[str], others: Sequence[str], seed: int) -> dict[str, str]:
    """Give each video another one, drawn so that no video keeps its own.

    Args:
        videos: sorted; they are permuted in one cycle.
        others: sorted; where there is only one video, its donor is drawn from these.
        seed: of the draw.

    Raises:
        PipelineError: there is no other video at all.
    """
    draw = generator("control", seed)
    if len(videos) > 1:
        cycle = [videos[index] for index in draw.permutation(len(videos))]
        return dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    strangers = [video for video in others if video not in videos]
    if not strangers:
        raise PipelineError(
            f"the control needs clip features of a second video; there are only those of {', '.join(videos)}"
        )
    return {video: strangers[int(draw.integers(len(strangers)))] for video in videos}


def lend(sequence: EventSequence, donor: str, features: Features) -> EventSequence:
    """The same events as shares of the duration, laid on the donor."""
    factor = features.videos[donor] / features.videos[sequence.video]
    return EventSequence(donor, tuple((start * factor, end * factor) for start, end in sequence.times))

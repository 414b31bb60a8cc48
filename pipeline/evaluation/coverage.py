"""Which videos are scored: those of the references, all of them; and what is said of the others."""

import logging
from collections.abc import Collection, Sequence

from pipeline.errors import PipelineError
from pipeline.evaluation.events import NOTHING, ByVideo, Events


def reference_videos(references: Sequence[ByVideo]) -> dict[str, list[Events]]:
    """All reference videos, sorted, each with what every annotator who saw it says.

    Raises:
        PipelineError: there are none, or one is without events.
    """
    names = sorted(set().union(*references))
    if not names:
        raise PipelineError("there are no reference videos to score captions against")
    videos = {name: [reference[name] for reference in references if name in reference] for name in names}
    for name, events in videos.items():
        if not all(annotator.sentences for annotator in events):
            raise PipelineError(f"references: video {name} has no events; leave it out of that file")
    return videos


def counted(predictions: ByVideo, videos: Collection[str], most: int) -> tuple[list[Events], int]:
    """The captions of each video that count: the first ones of its list, at most `most`.

    Returns:
        Captions, in the order of the videos; how many do not count.
    """
    captions = [predictions.get(video, NOTHING) for video in videos]
    beyond = sum(max(0, len(events.sentences) - most) for events in captions)
    if beyond:
        logging.warning("%d captions are not looked at: they stand behind the first %d of their video", beyond, most)
    return [events.first(most) for events in captions], beyond


def unknown_videos(predictions: ByVideo, videos: Collection[str]) -> tuple[str, ...]:
    """Videos that were captioned and are in no reference; a warning names some."""
    unknown = sorted(predictions.keys() - set(videos))
    if unknown:
        logging.warning("captions of %d videos that no reference has are not scored: %s", len(unknown), some(unknown))
    return tuple(unknown)


def check(name: str, predictions: ByVideo, references: Sequence[ByVideo], complete: bool) -> None:
    """Refuse captions that have nothing to do with the references, and incomplete ones where that is asked for.

    Args:
        name: of the captions, for the error.
        predictions: captions of each video.
        references: by each annotator.
        complete: whether every reference video must have captions.

    Raises:
        PipelineError: as said; names some of the videos.
    """
    every = set().union(*references)
    if predictions and every and not every & predictions.keys():
        raise PipelineError(
            f"{name}: no video is in the references: captioned are {some(sorted(predictions))}, "
            f"the references have {some(sorted(every))}"
        )
    missing = sorted(video for video in every if not predictions.get(video, NOTHING).sentences)
    if complete and missing:
        raise PipelineError(
            f"{name}: {len(missing)} of {len(every)} videos of the references have no captions ({some(missing)}); "
            "they are required to be complete"
        )


def tell_missing(missing: Sequence[str], every: int) -> None:
    """Warn of videos without captions."""
    if missing:
        logging.warning(
            "%d of %d videos of the references have no captions and score 0: %s", len(missing), every, some(missing)
        )


def some(names: Sequence[str]) -> str:
    """The first three."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

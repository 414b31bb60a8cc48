"""Settings of a new dataset, made from what is in the user's folders: readers, splits, sizes."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.config.build_corpus import BuildCorpus, ValidationSplitFractions
from pipeline.config.readers import Content, ReaderChoice, configure_reader, readers_of
from pipeline.datasets.annotations import list_annotation_files, read_actions, read_captions
from pipeline.datasets.splits import unit_hash, validation_split
from pipeline.datasets.video_files import list_folder
from pipeline.errors import PipelineError
from pipeline.video.media_streams import choose_video

FRACTIONS = {"enlarged": 0.0, "val": 0.2, "test": 0.2, "train": 0.6}
"""Division of the captioned videos of a new dataset."""
FEW_VIDEOS = 100
"""Up to this number of videos, a division by hash alone leaves too few videos in a split too often."""
MIN_VIDEOS = 3
"""One video each for training, selection of epochs, and scores."""
VIDEOS_PER_SHARD = 100
SHORT_SIDE = 72
"""Short side of the pictures of the small settings (pixels)."""
MAX_PROBED = 20
"""Number of videos whose pictures are measured."""

_SIZE = re.compile(r"\bs:(\d+)x(\d+)\b")


@dataclass(frozen=True)
class NewDataset:
    """Settings of a new dataset.

    Attributes:
        section: the section `build_corpus`, without what has its default.
        guesses: sentences that say what was assumed.
    """

    section: dict[str, Any]
    guesses: tuple[str, ...]

    @property
    def build_corpus(self) -> BuildCorpus:
        """The section as settings."""
        return BuildCorpus.parse(self.section, "build_corpus")


def propose_dataset(
    videos: Path, captions: Sequence[Path], actions: Sequence[Path] = (), reader: ReaderChoice | None = None
) -> NewDataset:
    """Propose the settings of a dataset.

    Args:
        videos: folder of the videos.
        captions: files or folders of captions, one for each annotator; several files of one video each and of one
            folder stand for the folder.
        actions: files of actions.
        reader: the reader of all captions; None finds out which one reads them.

    Raises:
        PipelineError: no reader reads a file, or too few videos have captions.
    """
    guesses: list[str] = []
    sources = _merge_files_of_folder(captions, reader)
    readers: dict[str, ReaderChoice] = {}
    annotated: list[tuple[Content, Path]] = [("captions", path) for path in sources]
    annotated += [("actions", path) for path in actions]
    for content, path in annotated:
        choice = reader if content == "captions" and reader else find_reader(path, content)
        if choice is not None:
            readers[path.as_posix()] = choice
            guesses.append(f"{path} is read by the reader {choice}")
    read = [read_captions(path, readers.get(path.as_posix())) for path in sources]
    for path in actions:
        read_actions(path, readers.get(path.as_posix()))
    files = list_folder(videos).by_stem()
    captioned = sorted(set().union(*read))
    usable = [video for video in captioned if video in files]
    if len(usable) < MIN_VIDEOS:
        raise PipelineError(
            f"{videos}: {len(usable)} of its {len(files)} videos have captions in {', '.join(map(str, sources))} (of "
            f"{', '.join(captioned[:3])}{', ...' if len(captioned) > 3 else ''}); at least {MIN_VIDEOS} are "
            "needed, and annotations must have the names of the videos"
        )
    section = {
        "actions": [path.as_posix() for path in actions],
        "captions_train": None,
        "captions_val": [path.as_posix() for path in sources],
        **({"readers": readers} if readers else {}),
        "videos": videos.as_posix(),
        **({"missing": "allow"} if len(usable) < len(captioned) else {}),
        "fractions": dict(FRACTIONS),
        **_pin_few(usable, guesses),
        "shards": max(1, min(64, round(len(usable) / VIDEOS_PER_SHARD))),
    }
    if len(usable) < len(captioned):
        count = len(captioned) - len(usable)
        guesses.append(f"captioned videos without a file in {videos} are left out, by missing: allow: {count}")
    if not actions:
        guesses.append("there are no action labels: every captioned event has the label 'event'")
    return NewDataset(section, tuple(guesses))


def find_reader(path: Path, content: Content) -> ReaderChoice | None:
    """Find out which reader reads a file.

    Args:
        path: the file; a folder needs no search, because the suffixes of its files tell.
        content: what the file annotates.

    Returns:
        The name of the reader; None if it is the reader that the file's suffix selects.

    Raises:
        PipelineError: no reader reads the file; gives the reason of each.
    """
    if path.is_dir():
        return None
    default = configure_reader(path.name, content).spec
    candidates = [spec for spec in readers_of(content) if path.name.lower().endswith(spec.suffixes)]
    reasons = {}
    for spec in [default, *(spec for spec in candidates if spec is not default)]:
        try:
            configure_reader(path.name, content, spec.name).read(path)
        except PipelineError as error:
            reasons[spec.name] = str(error).removeprefix(f"{path}: ")
        else:
            return None if spec is default else spec.name
    if len(reasons) == 1:
        raise PipelineError(f"{path}: {reasons[default.name]}")
    raise PipelineError(
        f"{path}: no reader of {content} reads it: " + "; ".join(f"{name}: {why}" for name, why in reasons.items())
    )


def _merge_files_of_folder(paths: Sequence[Path], reader: ReaderChoice | None) -> list[Path]:
    """Return the paths; several files of formats with a file for each video become their folder.

    Raises:
        PipelineError: such files lie in several folders, or are not all such files of their folder.
    """
    single = [
        path
        for path in paths
        if not path.is_dir() and configure_reader(path.name, "captions", reader).spec.file_per_video
    ]
    if not single:
        return list(paths)
    folders = sorted({path.parent for path in single})
    if len(folders) > 1:
        raise PipelineError(
            f"{folders[0]} and {folders[1]} have captions of one video per file; put those of one annotator into one "
            "folder, and name the folders"
        )
    others = set(list_annotation_files(folders[0], "captions", reader)) - set(single)
    if others:
        raise PipelineError(
            f"{min(others)}: a dataset names the folder of such files and reads all of them; move this file, or name "
            f"the folder {folders[0]}"
        )
    return [*(path for path in paths if path not in single), folders[0]]


def _pin_few(videos: Sequence[str], guesses: list[str]) -> dict[str, dict[str, str]]:
    """Return pins of few videos, so that no split has too few; many videos are divided by their hash alone."""
    if len(videos) > FEW_VIDEOS:
        guesses.append("the videos are divided by a hash of their names: 60 % train, 20 % val, 20 % test")
        return {}
    ordered = sorted(videos, key=lambda video: unit_hash(video, "split"))
    part = max(1, round(FRACTIONS["val"] * len(videos)))
    split_of = {
        video: "val" if index < part else "test" if index < 2 * part else "train" for index, video in enumerate(ordered)
    }
    fractions = ValidationSplitFractions(**FRACTIONS)
    pins = {video: split for video, split in sorted(split_of.items()) if validation_split(video, fractions) != split}
    guesses.append(f"the videos are divided: {len(videos) - 2 * part} train, {part} val, {part} test")
    return {"pins": pins} if pins else {}


def measure_picture(files: Mapping[str, Path]) -> tuple[int, int]:
    """Return height and width of the small settings' pictures: the usual shape of the videos, evenly numbered sides.

    Raises:
        PipelineError: none of the first videos can be read.
    """
    shapes: list[Fraction] = []
    problem: PipelineError | None = None
    for path in list(files.values())[:MAX_PROBED]:
        try:
            lines = choose_video(path).frame_lines
        except PipelineError as error:
            problem = error
            continue
        sizes = [match for line in lines if (match := _SIZE.search(line))]
        shapes += [Fraction(int(size[1]), int(size[2])) for size in sizes[:1]]
    if not shapes:
        raise problem or PipelineError("no video tells the size of its picture")
    shape = statistics.median_low(shapes)
    long_side = 2 * round(SHORT_SIDE * max(shape, 1 / shape) / 2)
    return (SHORT_SIDE, long_side) if shape >= 1 else (long_side, SHORT_SIDE)

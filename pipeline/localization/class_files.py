"""Class scores of whole videos from elsewhere: CUHK's JSON, UntrimmedNet's array.

CUHK's winning entry of 2016 scored the 200 classes of ActivityNet 1.3 (`cuhk_val_simp_share.json`); UntrimmedNet (Wang
et al., 2017) the 101 classes of UCF101 on THUMOS14's test videos (`uNet_test.npy`). BMN, G-TAD and others took the
classes of their segments from these files.

The names of the classes are compared with those of the corpus, because a file in another order would give every
segment a wrong class.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy

from pipeline.config.classify_videos import FileClassifierSettings
from pipeline.errors import PipelineError
from pipeline.io.atomic import read_json
from pipeline.localization.class_fusion import ClassScores, parse_scores

MAX_NAMED = 3
"""Number of differing classes that a message names."""

_NUMBERED = re.compile(r"(\d+)\s+(.+)")


def read_class_file(settings: FileClassifierSettings, videos: Sequence[str], labels: Sequence[str]) -> ClassScores:
    """Read the class scores of the videos of a corpus.

    Args:
        settings: the file, and how it is read.
        videos: ids of the corpus; the file may write them without `v_`.
        labels: classes of the corpus.

    Returns:
        Scores of the classes of the corpus, in their order, of the videos that the file has.

    Raises:
        PipelineError: the file is absent or malformed, its classes differ from those of the corpus, or it has none of
            the videos.
    """
    path = Path(settings.path)
    is_array = path.suffix == ".npy"
    if is_array != (settings.classes is not None) or is_array != (settings.id_prefix is not None):
        raise PipelineError(f"config: classify_videos: {path} needs {'' if is_array else 'no '}classes and id_prefix")
    scores = _read_array(path, settings, videos) if is_array else _read_json(path, videos)
    columns = match_classes(path, scores.classes, labels, drop_others=settings.other_classes == "drop")
    if not scores.by_video:
        raise PipelineError(
            f"{path}: has class scores of no video of the corpus, such as {', '.join(videos[:MAX_NAMED])}"
        )
    return ClassScores(path, tuple(labels), {video: values[columns] for video, values in scores.by_video.items()})


def match_classes(path: Path, classes: Sequence[str], labels: Sequence[str], *, drop_others: bool) -> list[int]:
    """Return the column of each class of the corpus in a file.

    Args:
        path: the file, for errors.
        classes: names of the columns of the file.
        labels: classes of the corpus.
        drop_others: accept classes of the file that the corpus does not have.

    Raises:
        PipelineError: the file names a class twice, or lacks a class of the corpus, or has others; names the first.
    """
    if len(set(classes)) < len(classes):
        twice = next(name for index, name in enumerate(classes) if name in classes[:index])
        raise PipelineError(f"{path}: names the class {twice!r} twice")
    missing = [label for label in labels if label not in set(classes)]
    others = [] if drop_others else [name for name in classes if name not in set(labels)]
    if missing or others:
        raise PipelineError(
            f"{path}: has {len(classes)} classes, the corpus {len(labels)}; the file lacks {_name_first(missing)}, the "
            f"corpus {_name_first(others)}; write the classes of the corpus as the file does (build_corpus.label_map)"
        )
    index = {name: column for column, name in enumerate(classes)}
    return [index[label] for label in labels]


def read_class_names(path: Path) -> list[str]:
    """Read the names of classes in order: a JSON list, or a line each, with or without its number before it.

    Raises:
        PipelineError: the file is absent or malformed, or has no name.
    """
    if path.suffix == ".json":
        names = read_json(path, "names of classes")
    elif path.is_file():
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        names = _without_numbers([line.strip() for line in lines if line.strip()])
    else:
        raise PipelineError(f"{path}: no such names of classes")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise PipelineError(f"{path}: expected the names of the classes, a line each or a JSON list")
    return names


def _without_numbers(lines: list[str]) -> list[str]:
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    numbered = [match for match in matches if match]
    if [int(match[1]) for match in numbered] == list(range(1, len(lines) + 1)):
        return [match[2] for match in numbered]
    return lines


def _read_json(path: Path, videos: Sequence[str]) -> ClassScores:
    """Read CUHK's file: `{"results": {video: [score of each class]}, "class": [name of each class]}`."""
    data = read_json(path, "class scores")
    names, results = (data.get(key) if isinstance(data, dict) else None for key in ("class", "results"))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(results, dict):
        raise PipelineError(f'{path}: expected {{"results": {{video: [...]}}, "class": [...]}}')
    of_corpus: Mapping[str, Any] = {
        video: results[name] for video in videos for name in (video, video.removeprefix("v_")) if name in results
    }
    return ClassScores(path, tuple(names), parse_scores(path, of_corpus, len(names)))


def _read_array(path: Path, settings: FileClassifierSettings, videos: Sequence[str]) -> ClassScores:
    """Read an array with a row for each video, whose number is in its id, and a column for each class."""
    names = read_class_names(Path(settings.classes or ""))
    array = _load_array(path)
    if array.shape[1] != len(names):
        raise PipelineError(
            f"{path}: has {array.shape[1]} columns, but {settings.classes} {len(names)} names of classes"
        )
    prefix = settings.id_prefix or ""
    numbers = {video: int(video.removeprefix(prefix)) for video in videos if _has_number(video, prefix)}
    outside = next((video for video, number in numbers.items() if not 1 <= number <= len(array)), None)
    if outside is not None:
        raise PipelineError(f"{path}: has {len(array)} rows, so none of video {outside}")
    rows = {video: array[number - 1] for video, number in numbers.items()}
    return ClassScores(path, tuple(names), parse_scores(path, rows, len(names)))


def _has_number(video: str, prefix: str) -> bool:
    return video.startswith(prefix) and video.removeprefix(prefix).isascii() and video.removeprefix(prefix).isdigit()


def _load_array(path: Path) -> Float[np.ndarray, "videos classes"]:
    try:
        with path.open("rb") as file:
            array = npy.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise PipelineError(f"{path}: no such class scores") from None
    except (OSError, ValueError, EOFError) as error:
        raise PipelineError(f"{path}: class scores cannot be read ({error})") from None
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.number):
        raise PipelineError(
            f"{path}: expected an array of numbers with a row for each video and a column for each class"
        )
    return array.astype(np.float64)


def _name_first(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(map(repr, names[:MAX_NAMED])) + more

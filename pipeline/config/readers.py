"""The readers of annotation files: one spec for each format, of actions or of captions.

To add a format, write a module with a function `read(path) -> {video: ActionVideo}` or `read(path) -> {video:
CaptionedVideo}` (see `pipeline.datasets.annotations`), and add a spec below.
"""

from dataclasses import dataclass
from typing import Literal

from pipeline.config.registry import NoSettings, Registry, Spec


@dataclass(frozen=True)
class ReaderSpec(Spec):
    """What the registry knows of an annotation format.

    Attributes:
        content: what the files annotate.
        suffix: end of the names of the files that this reader reads by default; the longest matching suffix counts.
    """

    content: Literal["actions", "captions"]
    suffix: str


READERS = Registry(
    "annotation reader",
    [
        ReaderSpec(
            name="activitynet_json",
            description='ActivityNet\'s JSON of actions: `{"database": {id: {"subset", "duration", "annotations"}}}`',
            settings=NoSettings,
            build="pipeline.datasets.activitynet_json:read_activitynet",
            content="actions",
            suffix=".json",
        ),
        ReaderSpec(
            name="tsp_csv",
            description="TSP's ground-truth tables of actions and background (.csv), one row per segment",
            settings=NoSettings,
            build="pipeline.datasets.tsp_csv:read_tsp",
            content="actions",
            suffix=".csv",
        ),
        ReaderSpec(
            name="activitynet_captions",
            description='ActivityNet Captions\' JSON: `{id: {"duration", "timestamps", "sentences"}}`',
            settings=NoSettings,
            build="pipeline.datasets.activitynet_captions:read_activitynet_captions",
            content="captions",
            suffix=".json",
        ),
    ],
)


DEFAULT_READERS = {"actions": "activitynet_json", "captions": "activitynet_captions"}
"""The readers of files whose name ends in no reader's suffix."""


def reader_of(name: str, content: Literal["actions", "captions"]) -> ReaderSpec:
    """Return the reader of a file by the file's name.

    Args:
        name: name of the file.
        content: what the file annotates.
    """
    specs = [spec for spec in READERS.values() if spec.content == content]
    matches = [spec for spec in specs if name.endswith(spec.suffix)]
    return max(matches, key=lambda spec: len(spec.suffix), default=READERS[DEFAULT_READERS[content]])


def check_reader(name: str, content: Literal["actions", "captions"]) -> None:
    """Check that a reader exists and reads the content.

    Raises:
        ValueError: it does not.
    """
    names = [spec.name for spec in READERS.values() if spec.content == content]
    if name not in names:
        raise ValueError(f"readers: {name!r} is no reader of {content}; readers of {content}: {', '.join(names)}")

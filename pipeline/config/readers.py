"""The readers of annotation files: one spec for each format, of actions or of captions.

To add a format, write a module with a function `read(path) -> {video: ActionVideo}` or `read(path) -> {video:
CaptionedVideo}` (see `pipeline.datasets.annotations`), and add a spec below.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pipeline.config.registry import NoSettings, Registry, Spec


@dataclass(frozen=True)
class ReaderSpec(Spec):
    """What the registry knows of an annotation format.

    Attributes:
        content: what the files annotate.
        suffix: end of the names of the files that this reader reads by default; the longest matching suffix counts.
        example: a small file of one video, for the documents and for the tests of all readers.
    """

    columns: ClassVar[tuple[str, ...]] = ("content", "suffix", "description")

    content: Literal["actions", "captions"]
    suffix: str
    example: str


READERS = Registry(
    "annotation reader",
    [
        ReaderSpec(
            name="activitynet_json",
            description="ActivityNet's JSON of action segments",
            settings=NoSettings,
            build="pipeline.datasets.activitynet_json:read_activitynet",
            content="actions",
            suffix=".json",
            example="""\
{"database": {"<id>": {"subset": "training", "duration": 31.5,
                       "annotations": [{"segment": [0.5, 4.0], "label": "Archery"}]}}}
""",
        ),
        ReaderSpec(
            name="tsp_csv",
            description="TSP's ground-truth tables of actions and background, a row per segment",
            settings=NoSettings,
            build="pipeline.datasets.tsp_csv:read_tsp",
            content="actions",
            suffix=".csv",
            example="""\
video-name,t-start,t-end,action-label,video-duration,filename,fps,video-frames,temporal-region-label
<id>,0.5,4.0,Archery,31.5,<id>.mp4,30,945,Action
<id>,4.0,31.5,,31.5,<id>.mp4,30,945,No action
""",
        ),
        ReaderSpec(
            name="activitynet_captions",
            description="ActivityNet Captions' JSON of events and their sentences",
            settings=NoSettings,
            build="pipeline.datasets.activitynet_captions:read_activitynet_captions",
            content="captions",
            suffix=".json",
            example="""\
{"<id>": {"duration": 31.5, "timestamps": [[0.5, 4.0]], "sentences": ["A man shoots an arrow."]}}
""",
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

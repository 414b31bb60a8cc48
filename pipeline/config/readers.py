"""The readers of annotation files: one spec for each format, of actions, of captions of events, or of whole clips.

To add a format, write a module with a function `read(path) -> {video: ActionVideo}`, `{video: CaptionedVideo}` or
`{clip: CaptionedClip}` (see `pipeline.datasets.annotations`), and add a spec below. A reader with settings is
a function
`read(path, settings)`.
"""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.config.base import Section, Settings
from pipeline.config.registry import NoSettings, Registry, Spec
from pipeline.errors import PipelineError

Content = Literal["actions", "captions", "clips"]

ReaderChoice = str | dict[str, Any]
"""How a configuration names a reader: by its name, or `{name: elan, tier: Captions}` with settings."""


@dataclass(frozen=True)
class ReaderSpec(Spec):
    """What the registry knows of an annotation format.

    Attributes:
        content: what the files annotate.
        suffix: ends of the names of the files that this reader reads by default, separated by spaces; the longest
            matching suffix counts.
        example: a small file of one video, for the documents and for the tests of all readers.
        file_per_video: whether a file annotates one video, whose id is the name of the file without its suffix.
    """

    columns: ClassVar[tuple[str, ...]] = ("content", "suffix", "description")

    content: Content
    suffix: str
    example: str
    file_per_video: bool = False

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The ends of the names of the files that this reader reads by default."""
        return tuple(self.suffix.split())


class ElanSettings(Section):
    """Settings of ELAN files."""

    tier: str | None = Field(None, description="name of the tier to read; null: the only tier with annotations")


class LabelStudioSettings(Section):
    """Settings of Label Studio's exports."""

    fps: float | None = Field(
        None,
        gt=0,
        description="frames per second of the labelling interface (`frameRate` of its `Video` tag), by which timeline "
        "labels count time; null: the file has no timeline labels",
    )


class ViaSettings(Section):
    """Settings of VIA's projects."""

    attribute: str | None = Field(
        None, description="name of the attribute that has the text; null: the only attribute of the segments"
    )


class MsrvttSettings(Section):
    """Settings of MSR-VTT's files."""

    clean: bool = Field(
        False,
        description="prepare captions as CLIP-Captioner does: small letters, without tokens of punctuation; false: as "
        "written",
    )


class VatexSettings(Section):
    """Settings of VATEX's files."""

    clean: bool = Field(
        False,
        description="prepare captions as CLIP-Captioner does: small tokens of the Penn Treebank, without punctuation; "
        "false: as written",
    )


class SomethingSomethingSettings(Section):
    """Settings of Something-Something's files."""

    captions: Literal["full", "simplified"] = Field(
        "full", description="captions with whole placeholders (full), or with the last word of each (simplified)"
    )


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
        ReaderSpec(
            name="srt",
            description="SubRip subtitles `<id>.srt`: a cue is an event",
            settings=NoSettings,
            build="pipeline.datasets.subtitles:read_srt",
            content="captions",
            suffix=".srt",
            file_per_video=True,
            example="""\
1
00:00:00,500 --> 00:00:04,000
A man shoots an arrow.
""",
        ),
        ReaderSpec(
            name="webvtt",
            description="WebVTT subtitles `<id>.vtt`: a cue is an event",
            settings=NoSettings,
            build="pipeline.datasets.subtitles:read_webvtt",
            content="captions",
            suffix=".vtt",
            file_per_video=True,
            example="""\
WEBVTT

00:00.500 --> 00:04.000
A man shoots an arrow.
""",
        ),
        ReaderSpec(
            name="elan",
            description="ELAN's `<id>.eaf`: an annotation of the tier `tier` is an event",
            settings=ElanSettings,
            build="pipeline.datasets.elan:read_elan",
            content="captions",
            suffix=".eaf",
            file_per_video=True,
            example="""\
<ANNOTATION_DOCUMENT>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="4000"/>
  </TIME_ORDER>
  <TIER TIER_ID="Captions">
    <ANNOTATION>
      <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
        <ANNOTATION_VALUE>A man shoots an arrow.</ANNOTATION_VALUE>
      </ALIGNABLE_ANNOTATION>
    </ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
""",
        ),
        ReaderSpec(
            name="caption_table",
            description="CSV or TSV, also Excel's: a row is an event (video, start, end, caption)",
            settings=NoSettings,
            build="pipeline.datasets.caption_table:read_caption_table",
            content="captions",
            suffix=".csv .tsv",
            example="""\
video;start;end;caption
<id>;0,5;4,0;A man shoots an arrow.
""",
        ),
        ReaderSpec(
            name="label_studio",
            description="Label Studio's JSON of video or audio regions, with a text or labels each",
            settings=LabelStudioSettings,
            build="pipeline.datasets.label_studio:read_label_studio",
            content="captions",
            suffix=".json",
            example="""\
[{"data": {"video": "/data/upload/1/<id>.mp4"},
  "annotations": [{"result": [
    {"id": "r1", "type": "labels", "value": {"start": 0.5, "end": 4.0, "labels": ["Event"]}},
    {"id": "r1", "type": "textarea", "value": {"start": 0.5, "end": 4.0, "text": ["A man shoots an arrow."]}}]}]}]
""",
        ),
        ReaderSpec(
            name="via",
            description="a project of the VIA 3 video annotator: a temporal segment is an event",
            settings=ViaSettings,
            build="pipeline.datasets.via:read_via",
            content="captions",
            suffix=".json",
            example="""\
{"attribute": {"1": {"aname": "caption", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}}},
 "file": {"1": {"fid": "1", "fname": "<id>.mp4"}},
 "view": {"1": {"fid_list": ["1"]}},
 "metadata": {"1_a": {"vid": "1", "z": [0.5, 4.0], "xy": [], "av": {"1": "A man shoots an arrow."}}}}
""",
        ),
        ReaderSpec(
            name="clip_json",
            description="JSON of clips and their captions: an object, or COCO's list",
            settings=NoSettings,
            build="pipeline.datasets.clip_captions:read_clip_json",
            content="clips",
            suffix=".json",
            example="""\
{"<id>": ["A man shoots an arrow.", "A person with a bow."]}
""",
        ),
        ReaderSpec(
            name="clip_table",
            description="CSV or TSV, also Excel's: a row is a caption (clip, caption; perhaps split and category)",
            settings=NoSettings,
            build="pipeline.datasets.clip_captions:read_clip_table",
            content="clips",
            suffix=".csv .tsv",
            example="""\
clip,caption,split,category
<id>,A man shoots an arrow.,train,sports
<id>,A person with a bow.,train,sports
""",
        ),
        ReaderSpec(
            name="msrvtt",
            description="MSR-VTT's JSON of videos and sentences, with splits and categories",
            settings=MsrvttSettings,
            build="pipeline.datasets.msrvtt:read_msrvtt",
            content="clips",
            suffix="videodatainfo.json videodatainfo_2017.json",
            example="""\
{"videos": [{"video_id": "<id>", "category": 3, "start time": 10.0, "end time": 25.5, "split": "train"}],
 "sentences": [{"sen_id": 0, "video_id": "<id>", "caption": "a man shoots an arrow"}]}
""",
        ),
        ReaderSpec(
            name="vatex",
            description="VATEX's JSON of English captions; the id holds start and end",
            settings=VatexSettings,
            build="pipeline.datasets.vatex:read_vatex",
            content="clips",
            suffix="_v1.0.json _v1.1.json",
            example="""\
[{"videoID": "<id>_000010_000020", "enCap": ["A man shoots an arrow.", "A person with a bow."]}]
""",
        ),
        ReaderSpec(
            name="something_something",
            description="Something-Something v2's JSON: a template is a class, and its placeholders make a caption",
            settings=SomethingSomethingSettings,
            build="pipeline.datasets.something_something:read_template_clips",
            content="clips",
            suffix="v2-train.json v2-validation.json v2-test.json",
            example="""\
[{"id": "<id>", "label": "shooting a wooden arrow", "template": "Shooting [something]",
  "placeholders": ["a wooden arrow"]}]
""",
        ),
    ],
)


DEFAULT_READERS = {"actions": "activitynet_json", "captions": "activitynet_captions", "clips": "clip_json"}
"""The readers of files whose name ends in no reader's suffix."""


@dataclass(frozen=True)
class ConfiguredReader:
    """A reader with its settings."""

    spec: ReaderSpec
    settings: Settings

    def read(self, path: PurePath) -> Any:
        """Read a file: videos by id.

        Raises:
            PipelineError: the file is absent or malformed.
        """
        read = self.spec.load()
        return read(path) if self.spec.settings is NoSettings else read(path, self.settings)


def readers_of(content: Content) -> list[ReaderSpec]:
    """Return the readers of actions, those of captions of events, or those of clips."""
    return [spec for spec in READERS.values() if spec.content == content]


def reader_of(name: str, content: Content) -> ReaderSpec:
    """Return the reader of a file by the file's name; of readers with the same suffix, the first one.

    Args:
        name: name of the file.
        content: what the file annotates.
    """
    lengths = {
        spec.name: max((len(suffix) for suffix in spec.suffixes if name.lower().endswith(suffix)), default=0)
        for spec in readers_of(content)
    }
    longest = max(lengths, key=lambda reader: lengths[reader])
    return READERS[longest if lengths[longest] else DEFAULT_READERS[content]]


def parse_reader(choice: ReaderChoice, content: Content) -> ConfiguredReader:
    """Return the reader that a configuration names, with its settings.

    Args:
        choice: name, or `{name: NAME, SETTING: VALUE}`.
        content: what the reader must read.

    Raises:
        PipelineError: no such reader of this content, or a setting that it does not have.
    """
    settings = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = settings.pop("name", None)
    names = [spec.name for spec in readers_of(content)]
    if name not in names:
        raise PipelineError(f"readers: {name!r} is no reader of {content}; readers of {content}: {', '.join(names)}")
    return ConfiguredReader(READERS[name], READERS[name].settings.parse(settings, f"readers.{name}"))


def configure_reader(name: str, content: Content, choice: ReaderChoice | None = None) -> ConfiguredReader:
    """Return the reader of a file: the one that the configuration names, or else that of the file's suffix.

    Args:
        name: name of the file.
        content: what the file annotates.
        choice: how the configuration names a reader.

    Raises:
        PipelineError: no such reader of this content, or a setting that it does not have.
    """
    if choice is not None:
        return parse_reader(choice, content)
    spec = reader_of(name, content)
    return ConfiguredReader(spec, spec.settings())

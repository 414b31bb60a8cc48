"""The files that captioning writes, and the checks that none of them replaces a file of somebody else."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.bundle.events import EventCaption
from pipeline.bundle.subtitles import FORMATS
from pipeline.errors import PipelineError
from pipeline.features.extraction.windows import Rejection
from pipeline.io.atomic import write_text

CAPTIONS, REJECTS, PAGE = "captions.json", "rejects.csv", "captions.html"


@dataclass(frozen=True)
class CaptionFiles:
    """The files of one output folder.

    Attributes:
        folder: the folder.
        formats: formats of the files of each video, names in `FORMATS`.
        has_page: whether a page shows all videos and captions.
    """

    folder: Path
    formats: Sequence[str]
    has_page: bool = False

    @property
    def captions(self) -> Path:
        """All captions, in the challenge's format."""
        return self.folder / CAPTIONS

    @property
    def rejects(self) -> Path:
        """The videos without captions, and why."""
        return self.folder / REJECTS

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / PAGE

    def of_video(self, video: str) -> list[Path]:
        """Return the files of a video."""
        return [self.folder / f"{video}.{suffix}" for suffix in self.formats]

    def write_video(self, video: str, events: Sequence[EventCaption]) -> None:
        """Write the files of a video; those that have the content already stay as they are."""
        for path, suffix in zip(self.of_video(video), self.formats, strict=True):
            text = FORMATS[suffix](video, events)
            if not (path.is_file() and path.read_bytes() == text.encode()):
                write_text(path, text)

    def remove_video(self, video: str) -> None:
        """Remove the files of a video."""
        for path in self.of_video(video):
            path.unlink(missing_ok=True)

    def write_rejects(self, rejects: Iterable[tuple[str, Rejection]]) -> None:
        """Write the table of the videos without captions; also an empty one."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["video", "reason", "detail"])
        writer.writerows([video, rejection.reason, rejection.detail] for video, rejection in rejects)
        write_text(self.rejects, text.getvalue())

    def check_inputs(self, videos: Iterable[str], inputs: Iterable[Path]) -> None:
        """Check that no file that will be written is one that is read.

        Raises:
            PipelineError: names the file.
        """
        read = {path.resolve() for path in inputs}
        for path in self._all(videos):
            if path.resolve() in read:
                raise PipelineError(f"{path}: would be written, but it is an input; give another --output")

    def check_new(self, videos: Iterable[str], *, shared: bool = True) -> None:
        """Check that no file that will be written exists.

        Args:
            videos: ids.
            shared: check the files of all videos together, too.

        Raises:
            PipelineError: names the file.
        """
        for path in self._all(videos, shared=shared):
            if path.exists():
                raise PipelineError(
                    f"{path}: exists already, and no earlier run with this model and these settings wrote it; give "
                    "another --output, or --overwrite"
                )

    def _all(self, videos: Iterable[str], *, shared: bool = True) -> list[Path]:
        of_videos = [path for video in videos for path in self.of_video(video)]
        page = [self.page] if self.has_page else []
        return [self.captions, self.rejects, *page, *of_videos] if shared else of_videos

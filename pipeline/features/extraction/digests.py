"""What files hold, by sha256: each is read once in a run, however many features are made of it."""

from pathlib import Path

from pipeline.features.extraction.sources import Source
from pipeline.io.atomic import sha256


class Digests:
    """sha256 of files; of one that cannot be read, why."""

    def __init__(self) -> None:
        self._known: dict[Path, str | OSError] = {}

    def of(self, source: Source) -> str | None:
        """sha256 of a video's file; None if it cannot be read, see `trouble`."""
        if source.sha256 is not None:
            return source.sha256
        found = self._find(source.path)
        return found if isinstance(found, str) else None

    def of_file(self, path: Path) -> str:
        """sha256 of any other file.

        Raises:
            OSError: it cannot be read.
        """
        found = self._find(path)
        if isinstance(found, OSError):
            raise found
        return found

    def trouble(self, source: Source) -> str:
        """Why a video's file cannot be read; empty if it can."""
        found = "" if source.sha256 is not None else self._find(source.path)
        return f"{source.path}: {found.strerror or found}" if isinstance(found, OSError) else ""

    def _find(self, path: Path) -> str | OSError:
        if path not in self._known:
            try:
                self._known[path] = sha256(path)
            except OSError as error:
                self._known[path] = error
        return self._known[path]

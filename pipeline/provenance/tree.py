"""The provenance of a result as a tree for people and as plain data."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.provenance.record import Record
from pipeline.provenance.settings import command_arguments
from pipeline.provenance.trace import SHORT, TracedFile, TracedFiles, find_changes

SHARD = re.compile(r"/\d{4}(?=/)")


class ShardFiles(NamedTuple):
    """Files that differ only in the shard and are shown as one.

    Attributes:
        paths: the files, sorted.
        key: stage, digest of the settings and code hash; all empty for external files.
    """

    paths: tuple[Path, ...]
    key: tuple[str, str, str]

    @property
    def title(self) -> str:
        """The first file, and the number of shards."""
        more = f" (one of {len(self.paths)} shards alike)" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{more}"


def render_tree(files: TracedFiles) -> Iterator[str]:
    """Yield the lines of the tree: each file above the files it was made from, then all changes since.

    Args:
        files: as `trace_result` returns them; the result comes first.
    """
    tree = _Tree(files)
    root = next(iter(files))
    yield from tree.render(ShardFiles((root,), _key(files[root])), "", "")
    yield ""
    if changes := list(dict.fromkeys(change for each in tree.changes.values() for change in each)):
        yield "Missing or changed since:"
        yield from (f"  {change}" for change in changes)
    else:
        yield "Nothing is missing, and nothing has changed since."


class _Tree:
    """Renders groups of files; a group that was shown before is only referred to."""

    def __init__(self, files: TracedFiles) -> None:
        self.files = files
        self.changes = find_changes(files)
        self.shown: set[tuple[Path, ...]] = set()

    def render(self, group: ShardFiles, first_prefix: str, prefix: str) -> Iterator[str]:
        """Yield the lines of a group and of everything it was made from.

        Args:
            group: the files to show.
            first_prefix: text before the title.
            prefix: text before all lines below.
        """
        file = self.files[group.paths[0]]
        record = file.record
        if record is None:
            yield f"{first_prefix}{group.title}  {_describe_external(file)}"
            return
        if group.paths in self.shown:
            yield f"{first_prefix}{group.title}  ({record.stage}, shown above)"
            return
        self.shown.add(group.paths)
        changed = any(self.changes[path] for path in group.paths)
        yield f"{first_prefix}{group.title}{'  [changed since]' if changed else ''}"
        inputs = self._group({path for member in group.paths for path in _inputs(self.files[member])})
        bar = "|  " if inputs else "   "
        yield f"{prefix}{bar}{' '.join([record.stage, *self._common_arguments(group)])}"
        yield (
            f"{prefix}{bar}settings {record.config_digest}, code {record.code}, Python {record.python},"
            f" {record.finished}"
        )
        for index, inner in enumerate(inputs):
            is_last = index == len(inputs) - 1
            yield from self.render(inner, f"{prefix}+- ", f"{prefix}{'   ' if is_last else '|  '}")

    def _common_arguments(self, group: ShardFiles) -> list[str]:
        """Return the arguments that all files of a group were made with."""
        records = [record for path in group.paths if (record := self.files[path].record)]
        common = set.intersection(*(set(command_arguments(record).items()) for record in records))
        return [" ".join(pair).strip() for pair in sorted(common)]

    def _group(self, paths: set[Path]) -> list[ShardFiles]:
        """Group files that differ only in the shard, in the order of their names."""
        groups: dict[tuple[str, tuple[str, str, str]], list[Path]] = {}
        for path in sorted(paths):
            # External files are shown one by one, because their digests differ.
            pattern = SHARD.sub("/*", path.as_posix()) if self.files[path].record else path.as_posix()
            groups.setdefault((pattern, _key(self.files[path])), []).append(path)
        return [ShardFiles(tuple(members), key) for (_, key), members in groups.items()]


def _describe_external(file: TracedFile) -> str:
    return f"(external, sha256 {file.sha256[:SHORT]})" if file.sha256 else "(missing, without a provenance record)"


def _key(file: TracedFile) -> tuple[str, str, str]:
    record = file.record
    return (record.stage, record.config_digest, record.code) if record else ("", "", "")


def _inputs(file: TracedFile) -> list[Path]:
    return list(file.record.inputs) if file.record else []


def tree_as_data(files: TracedFiles) -> dict[str, Any]:
    """Return the tree as plain data: the result, and the record, sha256 and changes of each file."""
    changes = find_changes(files)
    return {
        "result": next(iter(files)).as_posix(),
        "files": {
            path.as_posix(): {
                "sha256": file.sha256,
                "made_by": _record_as_data(file.record) if file.record else None,
                "changes": changes[path],
            }
            for path, file in files.items()
        },
    }


def _record_as_data(record: Record) -> dict[str, Any]:
    return vars(record) | {"inputs": {path.as_posix(): digest for path, digest in record.inputs.items()}}

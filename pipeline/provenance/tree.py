"""The way to a result as text for people and as plain data."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.provenance.walk import SHORT, Node

SHARD = re.compile(r"/\d{4}(?=/)")


class Group(NamedTuple):
    """Files told as one: alike but for the shard.

    Attributes:
        paths: the files, sorted.
        kind: stage, digest of its settings and stamp of its code; all empty of given files.
    """

    paths: tuple[Path, ...]
    kind: tuple[str, str, str]

    @property
    def title(self) -> str:
        """The first file, and how many are alike."""
        more = f" (one of {len(self.paths)} shards alike)" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{more}"


def lines(nodes: dict[Path, Node]) -> Iterator[str]:
    """The tree: each file above what it was made from; what was told already is only referred to.

    Args:
        nodes: as `walk` gives them, the result first.
    """
    told: set[tuple[Path, ...]] = set()
    root = next(iter(nodes))
    yield from _told(Group((root,), _kind(nodes[root])), nodes, "", "", told)
    troubles = list(dict.fromkeys(f"{trouble}" for node in nodes.values() for trouble in node.troubles))
    yield ""
    if troubles:
        yield "Not as it was:"
        yield from (f"  {trouble}" for trouble in troubles)
    else:
        yield "Nothing is missing, nothing has changed since."


def _told(group: Group, nodes: dict[Path, Node], first: str, rest: str, told: set[tuple[Path, ...]]) -> Iterator[str]:
    """Lines of a group and of all it was made from.

    Args:
        group: what to tell.
        nodes: all files.
        first: what stands before its title.
        rest: what stands before all lines below.
        told: the groups that were told.
    """
    node = nodes[group.paths[0]]
    record = node.record
    if record is None:
        yield f"{first}{group.title}  {_given(node)}"
        return
    if group.paths in told:
        yield f"{first}{group.title}  ({record.stage}, told above)"
        return
    told.add(group.paths)
    marks = sum(len(nodes[path].troubles) for path in group.paths)
    yield f"{first}{group.title}{'  [not as it was]' if marks else ''}"
    below = _groups({path for each in group.paths for path in _inputs(nodes[each])}, nodes)
    bar = "|  " if below else "   "
    yield f"{rest}{bar}{' '.join([record.stage, *_arguments(group, nodes)])}"
    yield f"{rest}{bar}settings {record.config_digest}, code {record.code}, Python {record.python}, {record.finished}"
    for index, inner in enumerate(below):
        last = index == len(below) - 1
        yield from _told(inner, nodes, f"{rest}+- ", f"{rest}{'   ' if last else '|  '}", told)


def _arguments(group: Group, nodes: dict[Path, Node]) -> list[str]:
    """Arguments that all of a group were made with."""
    given = [set(made.arguments.items()) for path in group.paths if (made := nodes[path].record)]
    return [" ".join(pair).strip() for pair in sorted(set.intersection(*given))]


def _given(node: Node) -> str:
    return f"(given, sha256 {node.sha256[:SHORT]})" if node.sha256 else "(missing, and nothing tells how it was made)"


def _groups(paths: set[Path], nodes: dict[Path, Node]) -> list[Group]:
    """Files in groups that differ in the shard alone, in the order of their names."""
    alike: dict[tuple[Any, ...], list[Path]] = {}
    for path in sorted(paths):
        kind = _kind(nodes[path])
        # Given files are told one by one: their digests differ.
        pattern = SHARD.sub("/*", path.as_posix()) if nodes[path].record else path.as_posix()
        alike.setdefault((pattern, kind), []).append(path)
    return [Group(tuple(members), kind) for (_, kind), members in alike.items()]


def _kind(node: Node) -> tuple[str, str, str]:
    record = node.record
    return (record.stage, record.config_digest, record.code) if record else ("", "", "")


def _inputs(node: Node) -> list[Path]:
    return list(node.record.inputs) if node.record else []


def plain(nodes: dict[Path, Node]) -> dict[str, Any]:
    """The same as plain data: the result, and each file's record, digest and troubles."""
    return {
        "result": next(iter(nodes)).as_posix(),
        "files": {
            path.as_posix(): {
                "sha256": node.sha256,
                "made_by": _made(node),
                "not_as_it_was": node.troubles,
            }
            for path, node in nodes.items()
        },
    }


def _made(node: Node) -> dict[str, Any] | None:
    if node.record is None:
        return None
    return vars(node.record) | {"inputs": {path.as_posix(): digest for path, digest in node.record.inputs.items()}}

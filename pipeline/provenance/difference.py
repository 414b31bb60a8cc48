"""Where the ways to two results part.

The two ways are gone back side by side, through inputs alone whose recorded sha256 differ: what differs further up but
led to equal bytes is no difference of the results. Told are the files that differ by themselves (settings, code,
arguments, the set of inputs, or given files), not those that differ because their inputs do.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.load import Config
from pipeline.provenance.modules import changed_modules, modules_of, stamps_of
from pipeline.provenance.record_files import Record
from pipeline.provenance.settings import changed_keys
from pipeline.provenance.walk import SHORT, Node

GIVEN = "given"
"""In place of a stage, for files that no stage made."""

Pairs = list[tuple[Path, Path]]


@dataclass(frozen=True)
class Difference:
    """Files that differ by themselves, in one way.

    Attributes:
        stage: that made them; `given` for files that none made.
        files: pairs of a file on the way to the first result and its counterpart on the way to the second.
        what: sentences.
    """

    stage: str
    files: list[tuple[str, str]]
    what: list[str]


def compare(first: dict[Path, Node], second: dict[Path, Node]) -> list[Difference]:
    """Differences of two results in the order of the data flow; none if their bytes are equal.

    Args:
        first: files on the way to the first result, as `pipeline.provenance.walk.walk` gives them.
        second: files on the way to the second.
    """
    roots = next(iter(first)), next(iter(second))
    if first[roots[0]].sha256 == second[roots[1]].sha256:
        return []
    search = _Search(first, second)
    search.visit(*roots)
    return search.differences()


class _Search:
    """Walks both ways at once, inputs before what was made from them."""

    def __init__(self, first: dict[Path, Node], second: dict[Path, Node]) -> None:
        self.first, self.second = first, second
        self.visited: set[tuple[Path, Path]] = set()
        self.found: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}

    def differences(self) -> list[Difference]:
        return [Difference(stage, files, list(what)) for (stage, what), files in self.found.items()]

    def visit(self, a: Path, b: Path) -> None:
        """Note how two counterparts differ, after all that they were made from."""
        if (a, b) in self.visited:
            return
        self.visited.add((a, b))
        one, other = self.first[a], self.second[b]
        if one.record is None or other.record is None:
            what = [_given(one, other)]
        else:
            what = self._made(one.record, other.record, (a, b))
        if what:
            stage = other.record.stage if other.record else GIVEN
            self.found.setdefault((one.record.stage if one.record else stage, tuple(what)), []).append((str(a), str(b)))

    def _made(self, one: Record, other: Record, paths: tuple[Path, Path]) -> list[str]:
        pairs, alone = counterparts(self._stages(one, self.first), self._stages(other, self.second))
        different = [(a, b) for a, b in pairs if one.inputs[a] != other.inputs[b]]
        stale = []
        for a, b in different:
            self.visit(a, b)
            for path, record, nodes in ((a, one, self.first), (b, other, self.second)):
                if nodes[path].sha256 not in (None, record.inputs[path]):
                    stale.append(f"input {path} was made anew since it was read: told is how the newer one differs")
        what = [
            *own(one, other, paths),
            *(f"input of the first alone: {path}" for path in alone[0]),
            *(f"input of the second alone: {path}" for path in alone[1]),
            *stale,
        ]
        if what or different:
            return what
        pythons = "" if one.python == other.python else f" (Python {one.python} and {other.python})"
        return [f"made by equal settings and code from equal inputs, yet not equal{pythons}"]

    def _stages(self, record: Record, nodes: dict[Path, Node]) -> dict[Path, str]:
        made = {path: nodes[path].record for path in record.inputs}
        return {path: of.stage if of else GIVEN for path, of in made.items()}


def own(one: Record, other: Record, paths: tuple[Path, Path]) -> list[str]:
    """How two outputs were made differently, but for their inputs.

    Args:
        one: how the first was made.
        other: how the second was made.
        paths: the outputs, to find out which modules stand behind their stamps.
    """
    if one.stage != other.stage:
        return [f"made by {one.stage} and by {other.stage}"]
    what = [f"settings {change}" for change in changed_keys(one.deciding, other.deciding, one.stage)]
    what += [f"argument {change}" for change in changed_keys(one.arguments, other.arguments)]
    if one.code != other.code:
        before, after = (modules_of(made.code, stamps_of(path)) for made, path in zip((one, other), paths, strict=True))
        what.append(f"code {one.code} -> {other.code} ({changed_modules(before, after)})")
    return what


def _given(one: Node, other: Node) -> str:
    if one.record is None and other.record is None:
        digests = [node.sha256[:SHORT] if node.sha256 else "missing" for node in (one, other)]
        return f"given files: sha256 {digests[0]} -> {digests[1]}"
    ways = [f"made by {node.record.stage}" if node.record else "given" for node in (one, other)]
    return f"{ways[0]} -> {ways[1]}"


def counterparts(first: dict[Path, str], second: dict[Path, str]) -> tuple[Pairs, tuple[list[Path], list[Path]]]:
    """Which input of one output answers to which of another.

    Inputs of one stage answer to each other, those whose paths have most in common from the end first; then, where as
    many are left on both sides, in the order of their names; then whatever has a common name.

    Args:
        first: inputs of one output -> their stages.
        second: inputs of the other likewise.

    Returns:
        the pairs, in the order of the data flow, and what has no counterpart on either side.
    """
    left, right = set(first), set(second)
    pairs: Pairs = []

    def pair(some: Iterable[Path], others: Iterable[Path]) -> None:
        found = list(zip(sorted(some), sorted(others), strict=True))
        pairs.extend(found)
        left.difference_update(a for a, _ in found)
        right.difference_update(b for _, b in found)

    order = [GIVEN, *Config.model_fields]
    stages = sorted({*first.values(), *second.values()}, key=lambda name: order.index(name) if name in order else -1)
    for stage in stages:
        of_stage = {path for path in left if first[path] == stage}, {path for path in right if second[path] == stage}
        for some, others in _same_ends(*of_stage):
            pair(some, others)
        of_stage = of_stage[0] & left, of_stage[1] & right
        if len(of_stage[0]) == len(of_stage[1]):
            pair(*of_stage)
    for some, others in _same_ends(set(left), set(right)):
        pair(some, others)
    return pairs, (sorted(left), sorted(right))


def _same_ends(left: set[Path], right: set[Path]) -> Iterable[tuple[list[Path], list[Path]]]:
    """Paths that end alike, as many on both sides: the longest common ends first."""
    left, right = set(left), set(right)
    for length in range(max((len(path.parts) for path in left | right), default=0), 0, -1):
        ends: dict[tuple[str, ...], tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
        for side, paths in enumerate((left, right)):
            for path in sorted(paths):
                if len(path.parts) >= length:
                    ends[path.parts[-length:]][side].append(path)
        for some, others in ends.values():
            if some and len(some) == len(others):
                yield some, others
                left.difference_update(some)
                right.difference_update(others)


def told(differences: list[Difference]) -> str:
    """The differences in words."""
    if not differences:
        return "The results are equal, byte for byte."
    first, *others = differences
    said = [f"They first differ in {_title(first)}", *(f"  {line}" for line in first.what)]
    if others:
        said += ["", "They also differ, not for that reason alone, in"]
    for each in others:
        said += [f"  {_title(each)}", *(f"    {line}" for line in each.what)]
    return "\n".join(said)


def _title(difference: Difference) -> str:
    a, b = difference.files[0]
    more = f" (and {len(difference.files) - 1} more)" if len(difference.files) > 1 else ""
    names = a if a == b else f"{a} | {b}"
    return f"{difference.stage}: {names}{more}"

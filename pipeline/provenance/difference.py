"""In which stages two results first differ.

Both results are followed back side by side, only through inputs whose recorded sha256 differ: a difference further up
that led to equal bytes is no difference of the results. Files are reported if they differ by themselves: in settings,
code, arguments, the set of inputs, or as external files. Files that differ only because their inputs do are not.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.load import Config
from pipeline.provenance.code_hash import describe_module_changes, read_module_record
from pipeline.provenance.record import Record
from pipeline.provenance.settings import changed_keys, command_arguments, result_settings
from pipeline.provenance.trace import SHORT, TracedFile, TracedFiles

EXTERNAL = "external file"
"""In place of a stage, for files that no stage made."""

Pairs = list[tuple[Path, Path]]


@dataclass(frozen=True)
class Difference:
    """Files that differ by themselves, in one way.

    Attributes:
        stage: the stage that made the files, or `external file`.
        files: pairs of a file on the way to the first result and its counterpart on the way to the second.
        changes: one line of text for each change.
    """

    stage: str
    files: list[tuple[str, str]]
    changes: list[str]


def compare_results(first: TracedFiles, second: TracedFiles) -> list[Difference]:
    """Return the differences of two results in the order of the data flow; none if their bytes are equal.

    Args:
        first: files on the way to the first result, as `pipeline.provenance.trace.trace_result` returns them.
        second: files on the way to the second.
    """
    roots = next(iter(first)), next(iter(second))
    if first[roots[0]].sha256 == second[roots[1]].sha256:
        return []
    comparison = _Comparison(first, second)
    comparison.visit(*roots)
    return comparison.differences()


class _Comparison:
    """Visits both graphs at once; inputs come before the files made from them."""

    def __init__(self, first: TracedFiles, second: TracedFiles) -> None:
        self.first, self.second = first, second
        self.visited: set[tuple[Path, Path]] = set()
        self.changes: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}

    def differences(self) -> list[Difference]:
        return [Difference(stage, files, list(changes)) for (stage, changes), files in self.changes.items()]

    def visit(self, a: Path, b: Path) -> None:
        """Note how two counterparts differ, after all their inputs."""
        if (a, b) in self.visited:
            return
        self.visited.add((a, b))
        first, second = self.first[a], self.second[b]
        if first.record is None or second.record is None:
            changes = [_describe_external(first, second)]
        else:
            changes = self._compare_outputs(first.record, second.record, (a, b))
        if changes:
            records = (first.record, second.record)
            stage = next((record.stage for record in records if record), EXTERNAL)
            self.changes.setdefault((stage, tuple(changes)), []).append((str(a), str(b)))

    def _compare_outputs(self, first: Record, second: Record, paths: tuple[Path, Path]) -> list[str]:
        pairs, unmatched = match_inputs(self._stages(first, self.first), self._stages(second, self.second))
        different = [(a, b) for a, b in pairs if first.inputs[a] != second.inputs[b]]
        stale = []
        for a, b in different:
            self.visit(a, b)
            for path, record, files in ((a, first, self.first), (b, second, self.second)):
                if files[path].sha256 not in (None, record.inputs[path]):
                    stale.append(f"input {path} has changed since it was read; the newer file is compared")
        changes = [
            *_compare_records(first, second, paths),
            *(f"input only of the first: {path}" for path in unmatched[0]),
            *(f"input only of the second: {path}" for path in unmatched[1]),
            *stale,
        ]
        if changes or different:
            return changes
        pythons = "" if first.python == second.python else f" (Python {first.python} and {second.python})"
        return [f"outputs differ although settings, code and inputs are equal{pythons}"]

    def _stages(self, record: Record, files: TracedFiles) -> dict[Path, str]:
        records = {path: files[path].record for path in record.inputs}
        return {path: input_record.stage if input_record else EXTERNAL for path, input_record in records.items()}


def _compare_records(first: Record, second: Record, paths: tuple[Path, Path]) -> list[str]:
    """Describe how the making of two outputs differs, except for their inputs.

    Args:
        first: record of the first output.
        second: record of the second.
        paths: the outputs; the modules behind their code hashes are found from these.
    """
    if first.stage != second.stage:
        return [f"stage: {first.stage} -> {second.stage}"]
    before, after = (result_settings(record.stage, record.config) for record in (first, second))
    changes = [f"settings {change}" for change in changed_keys(before, after, first.stage)]
    changes += [f"argument {change}" for change in changed_keys(command_arguments(first), command_arguments(second))]
    if first.code != second.code:
        modules = [read_module_record(record.code, path) for record, path in zip((first, second), paths, strict=True)]
        changes.append(f"code {first.code} -> {second.code} ({describe_module_changes(modules[0], modules[1])})")
    return changes


def _describe_external(first: TracedFile, second: TracedFile) -> str:
    """Describe a pair of files of which at least one is external."""
    if first.record is None and second.record is None:
        digests = [file.sha256[:SHORT] if file.sha256 else "missing" for file in (first, second)]
        return f"external files: sha256 {digests[0]} -> {digests[1]}"
    origins = [f"made by {file.record.stage}" if file.record else EXTERNAL for file in (first, second)]
    return f"{origins[0]} -> {origins[1]}"


def match_inputs(first: dict[Path, str], second: dict[Path, str]) -> tuple[Pairs, tuple[list[Path], list[Path]]]:
    """Match the inputs of one output with those of another.

    Inputs of the same stage match, those with the longest common end of the path first. If equally many are left on
    both sides, they match in the order of their names. Then any inputs with a common name match.

    Args:
        first: inputs of one output -> their stages.
        second: inputs of the other, likewise.

    Returns:
        the pairs in the order of the data flow, and the unmatched inputs of each side.
    """
    left, right = set(first), set(second)
    pairs: Pairs = []

    def add_pairs(lefts: Iterable[Path], rights: Iterable[Path]) -> None:
        matches = list(zip(sorted(lefts), sorted(rights), strict=True))
        pairs.extend(matches)
        left.difference_update(a for a, _ in matches)
        right.difference_update(b for _, b in matches)

    order = [EXTERNAL, *Config.model_fields]
    stages = sorted({*first.values(), *second.values()}, key=lambda name: order.index(name) if name in order else -1)
    for stage in stages:
        of_stage = {path for path in left if first[path] == stage}, {path for path in right if second[path] == stage}
        for lefts, rights in _common_endings(*of_stage):
            add_pairs(lefts, rights)
        of_stage = of_stage[0] & left, of_stage[1] & right
        if len(of_stage[0]) == len(of_stage[1]):
            add_pairs(*of_stage)
    for lefts, rights in _common_endings(set(left), set(right)):
        add_pairs(lefts, rights)
    return pairs, (sorted(left), sorted(right))


def _common_endings(left: set[Path], right: set[Path]) -> Iterable[tuple[list[Path], list[Path]]]:
    """Yield groups of paths with a common end, equally many on both sides; the longest ends come first."""
    left, right = set(left), set(right)
    for length in range(max((len(path.parts) for path in left | right), default=0), 0, -1):
        ends: dict[tuple[str, ...], tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
        for side, paths in enumerate((left, right)):
            for path in sorted(paths):
                if len(path.parts) >= length:
                    ends[path.parts[-length:]][side].append(path)
        for lefts, rights in ends.values():
            if lefts and len(lefts) == len(rights):
                yield lefts, rights
                left.difference_update(lefts)
                right.difference_update(rights)


def describe_differences(differences: list[Difference]) -> str:
    """Format the differences as text."""
    if not differences:
        return "The results are equal, byte for byte."
    first, *further = differences
    lines = [f"They first differ in {_title(first)}", *(f"  {line}" for line in first.changes)]
    if further:
        lines += ["", "Independently of that, they also differ in"]
    for difference in further:
        lines += [f"  {_title(difference)}", *(f"    {line}" for line in difference.changes)]
    return "\n".join(lines)


def _title(difference: Difference) -> str:
    a, b = difference.files[0]
    more = f" (and {len(difference.files) - 1} more)" if len(difference.files) > 1 else ""
    names = a if a == b else f"{a} | {b}"
    return f"{difference.stage}: {names}{more}"

"""Tables of a comparison: every arm, and differences of arms."""

from typing import Any

from pipeline.comparison.corpora import Seeds
from pipeline.config.compare_encoders import CompareEncoders
from pipeline.evaluation.comparison import difference, plain, spread

Table = dict[str, dict[str, Any]]


def arms(seeds: Seeds, config: CompareEncoders) -> Table:
    """Arm -> its probes and the scores of its captions; `shuffled` has no probes.

    Each number is told as its mean over corpora and that of each corpus; captions' with an interval besides.
    """
    table: Table = {}
    for arm in seeds[0].captions:
        table[arm] = {
            metric: spread([seed.scores[metric][arm] for seed in seeds], config.scores.bootstrap)
            for metric in seeds[0].scores
        }
        if arm in seeds[0].probes:
            table[arm]["probe"] = _probes([seed.probes[arm] for seed in seeds])
    return table


def _probes(probes: list[dict[str, Any]]) -> dict[str, Any]:
    def of(*keys: str) -> dict[str, Any] | None:
        return plain([_at(probe, keys) for probe in probes])

    groups = {
        kind: sorted({name for probe in probes for name in probe["concepts"][kind]})
        for kind in ("by_part_of_speech", "by_attribute")
    }
    precision = "mean_average_precision"
    return {
        "action_accuracy": of("action", "accuracy"),
        "region_accuracy": of("region", "accuracy"),
        "concept_map": of("concepts", "all", precision),
        "chance": {
            "action_accuracy": of("action", "majority"),
            "region_accuracy": of("region", "majority"),
            "concept_map": of("concepts", "all", "chance"),
        },
        **{
            f"concept_map_{kind}": {name: of("concepts", kind, name, precision) for name in names}
            for kind, names in groups.items()
        },
    }


def _at(value: Any, keys: tuple[str, ...]) -> Any:
    """What stands at the end of a path of keys; None where it ends before."""
    for key in keys:
        value = value.get(key) if value is not None else None
    return value


def differences(table: Table, seeds: Seeds, config: CompareEncoders) -> list[dict[str, Any]]:
    """For each pair of the config, how much more the arm has than the other, on the same videos of each corpus."""
    found = []
    for pair in config.pairs:
        row: dict[str, Any] = {"arm": pair.arm, "than": pair.than}
        for metric in seeds[0].scores:
            of = [seed.scores[metric] for seed in seeds]
            row[metric] = spread([scores[pair.arm] - scores[pair.than] for scores in of], config.scores.bootstrap)
        if "probe" in table[pair.than]:
            one, other = table[pair.arm]["probe"], table[pair.than]["probe"]
            for name in ("action_accuracy", "region_accuracy", "concept_map"):
                row[name] = difference(one[name], other[name])
        found.append(row)
    return found


def markdown(found: dict[str, Any]) -> str:
    """The means of all arms, and the differences of captions with their intervals, for people; points of 100."""
    probes = ("action_accuracy", "region_accuracy", "concept_map")
    metrics = [name for name in next(iter(found["arms"].values())) if name != "probe"]
    lines = [["x 100", *(name.replace("_", " ") for name in probes), *metrics]]
    for arm, row in found["arms"].items():
        values = [row.get("probe", {}).get(name) for name in probes] + [row[name] for name in metrics]
        lines.append([arm, *("" if value is None else f"{100 * value['mean']:.1f}" for value in values)])
    for row in found["differences"]:
        lines.append([f"{row['arm']} - {row['than']}", *[""] * len(probes), *(gain(row[name]) for name in metrics)])
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def gain(value: dict[str, Any]) -> str:
    """A difference with its interval, in points of 100."""
    between = " to ".join(f"{100 * edge:.1f}" for edge in value.get("interval", []))
    return f"{100 * value['mean']:.1f}" + (f" ({between})" if between else "")

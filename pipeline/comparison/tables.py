"""The tables of a comparison: scores of each system, and paired differences of systems."""

from collections.abc import Iterator
from typing import Any

from pipeline.comparison.scored_datasets import ComparedDatasets
from pipeline.config.compare_systems import CONTROL, ComparisonEntry, System
from pipeline.evaluation.confidence_intervals import difference_by_seed, mean_by_seed, mean_with_ci

PROBES = ("action_accuracy", "region_accuracy", "concept_map")
"""Probe scores that tables show and differences compare."""

Row = dict[str, Any]


def compute_tables(datasets: ComparedDatasets, config: ComparisonEntry) -> dict[str, Any]:
    """Compute the scores of all systems and the differences of all pairs.

    Returns:
        `seeds`, `split`, `videos` (number in each dataset), `systems` and `differences`. Each score has its `mean` over
        datasets and, `by_seed`, its value on each; scores of captions have a 95 % `interval` over videos besides.
    """
    systems = [_system_row(datasets, config, system) for system in _systems(config)]
    return {
        "seeds": config.seeds,
        "split": config.split,
        "videos": [len(dataset.scores.videos) for dataset in datasets],
        "systems": systems,
        "differences": _difference_rows(datasets, config, {row["name"]: row for row in systems}),
    }


def paper_columns(systems: list[Row]) -> list[tuple[str, str]]:
    """Return the proposals and metrics for which a paper reports a score of any system."""
    return list(
        dict.fromkeys(
            (proposals, metric) for row in systems for proposals, metrics in row["paper"].items() for metric in metrics
        )
    )


def comparison_markdown(result: dict[str, Any]) -> str:
    """Format the systems and the differences as one Markdown table, in points of 100.

    Args:
        result: from `compute_tables`.
    """
    systems = result["systems"]
    probes = PROBES if any("probe" in row for row in systems) else ()
    columns = [(proposals, metric) for proposals, metrics in systems[0]["scores"].items() for metric in metrics]
    papers = paper_columns(systems)
    header = [
        "x 100",
        *(name.replace("_", " ") for name in probes),
        *(f"{metric} {proposals}" for proposals, metric in columns),
        *(f"paper: {metric} {proposals}" for proposals, metric in papers),
    ]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in systems:
        scores = [_cell(row.get("probe", {}).get(name)) for name in probes]
        scores += [_cell(row["scores"].get(proposals, {}).get(metric)) for proposals, metric in columns]
        lines.append([row["label"], *scores, *_paper_cells(row, papers, "")])
    labels = {row["name"]: row["label"] for row in systems}
    for row in result["differences"]:
        gains = [_cell_with_interval(row["scores"].get(proposals, {}).get(metric)) for proposals, metric in columns]
        title = f"{labels[row['system']]} - {labels[row['compared_to']]}"
        lines.append([title, *[""] * len(probes), *gains, *_paper_cells(row, papers, "+")])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _systems(config: ComparisonEntry) -> Iterator[System]:
    """Iterate over the systems of a comparison, the control last."""
    yield from config.systems
    for system in config.systems:
        if system.name == config.control:
            yield system.model_copy(update={"name": CONTROL, "label": None, "feature": None, "paper": {}})


def _system_row(datasets: ComparedDatasets, config: ComparisonEntry, system: System) -> Row:
    row: Row = {
        "name": system.name,
        "label": system.title,
        "members": [member.label for member in system.members],
        "paper": system.paper,
        "scores": {
            proposals: {
                metric: mean_with_ci(
                    [dataset.video_scores(system.name, proposals, metric) for dataset in datasets],
                    config.scores.bootstrap,
                )
                for metric in datasets[0].metrics
            }
            for proposals in datasets[0].captions[system.name]
        },
    }
    if system.feature is not None:
        row["probe"] = _probe_scores([dataset.probes[system.name] for dataset in datasets])
    return row


def _difference_rows(datasets: ComparedDatasets, config: ComparisonEntry, systems: dict[str, Row]) -> list[Row]:
    """Compute how much higher each system scores than the other of its pair on the same videos."""
    rows = []
    for pair in config.reported_pairs:
        system, baseline = systems[pair.system], systems[pair.compared_to]
        row: Row = {"system": pair.system, "compared_to": pair.compared_to, "paper": _paper_gains(system, baseline)}
        row["scores"] = {
            proposals: {
                metric: mean_with_ci(
                    [
                        dataset.video_scores(pair.system, proposals, metric)
                        - dataset.video_scores(pair.compared_to, proposals, metric)
                        for dataset in datasets
                    ],
                    config.scores.bootstrap,
                )
                for metric in datasets[0].metrics
            }
            for proposals in system["scores"]
            if proposals in baseline["scores"]
        }
        if "probe" in system and "probe" in baseline:
            row["probe"] = {name: difference_by_seed(system["probe"][name], baseline["probe"][name]) for name in PROBES}
        rows.append(row)
    return rows


def _paper_gains(system: Row, baseline: Row) -> dict[str, dict[str, float]]:
    """Compute the difference of the published scores that both systems have."""
    gains: dict[str, dict[str, float]] = {}
    for proposals, metric in paper_columns([system]):
        if metric in baseline["paper"].get(proposals, {}):
            gain = system["paper"][proposals][metric] - baseline["paper"][proposals][metric]
            gains.setdefault(proposals, {})[metric] = round(gain, 2)
    return gains


def _probe_scores(probes: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the probe scores of a system over datasets; a score that a dataset lacks is None."""

    def mean_of(*keys: str) -> dict[str, Any] | None:
        return mean_by_seed([_look_up(probe, keys) for probe in probes])

    groups = {
        kind: sorted({name for probe in probes for name in probe["concepts"][kind]})
        for kind in ("by_part_of_speech", "by_attribute")
    }
    precision = "mean_average_precision"
    return {
        "action_accuracy": mean_of("action", "accuracy"),
        "region_accuracy": mean_of("region", "accuracy"),
        "concept_map": mean_of("concepts", "all", precision),
        "chance": {
            "action_accuracy": mean_of("action", "majority"),
            "region_accuracy": mean_of("region", "majority"),
            "concept_map": mean_of("concepts", "all", "chance"),
        },
        **{
            f"concept_map_{kind}": {name: mean_of("concepts", kind, name, precision) for name in names}
            for kind, names in groups.items()
        },
    }


def _look_up(value: Any, keys: tuple[str, ...]) -> Any:
    """Return the value at the end of a path of keys; None if the path ends earlier."""
    for key in keys:
        value = value.get(key) if value is not None else None
    return value


def _cell(value: dict[str, Any] | None) -> str:
    return "" if value is None else f"{100 * value['mean']:.1f}"


def _cell_with_interval(value: dict[str, Any] | None) -> str:
    """Format a difference with its interval, in points of 100."""
    if value is None:
        return ""
    limits = " to ".join(f"{100 * limit:.1f}" for limit in value.get("interval", []))
    return _cell(value) + (f" ({limits})" if limits else "")


def _paper_cells(row: Row, columns: list[tuple[str, str]], sign: str) -> list[str]:
    values = [row["paper"].get(proposals, {}).get(metric) for proposals, metric in columns]
    return ["" if value is None else f"{value:{sign}.2f}" for value in values]

"""Markdown of the analysis of localization."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def analysis_markdown(result: Mapping[str, Any]) -> str:
    """Format the analysis as a Markdown document.

    Args:
        result: as `analyze_localization` writes it.
    """
    parts = [f"# Analysis of localization on {' and '.join(result['splits'])}"]
    for name, analysis in result["detections"].items():
        parts += [f"## Detections `{name}`", *_describe_detections(analysis)]
    if result["features"]:
        parts += ["## Region contrast of features", *_describe_contrasts(result["features"])]
    return "\n\n".join(parts) + "\n"


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table: text in the first column, numbers in the others."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def points(value: float | None) -> str:
    """Format a fraction in points of 100; nothing for None."""
    return "" if value is None else f"{100 * value:.2f}"


def _describe_detections(analysis: Mapping[str, Any]) -> list[str]:
    by_tiou = analysis["mAP_N"]
    profile = analysis["false_positives"]
    parts = [
        f"{analysis['n_detections']} detections, {analysis['n_instances']} instances.",
        format_table(["x 100", *by_tiou], [["mAP_N", *map(points, by_tiou.values())]]),
    ]
    for name, groups in analysis["groups"].items():
        names = [group for group in groups if group != "borders"]
        rows = [
            ["share of the instances", *(points(groups[group]["share"]) for group in names)],
            ["average mAP_N", *(points(groups[group]["average_mAP_N"]) for group in names)],
        ]
        borders = ", ".join(f"{border:g}" for border in groups["borders"])
        parts += [f"By {name.replace('_', ' ')} (borders {borders}):", format_table(["x 100", *names], rows)]
    shares = profile["fractions"] or {}
    rows = [
        [kind.replace("_", " "), points(share), points(profile["gain"].get(kind))] for kind, share in shares.items()
    ]
    header = ["x 100", "share of the detections", "gain of average mAP_N without them"]
    return [*parts, f"Of the best {profile['n_detections']} detections:", format_table(header, rows)]


def _describe_contrasts(features: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, summary in features.items():
        if summary is None:
            rows.append([f"`{name}`", "", "", "", "", "0"])
            continue
        limits = summary["contrast"].get("interval")
        interval = f"{limits[0]:.3f} to {limits[1]:.3f}" if limits else ""
        values = [summary["contrast"]["mean"], summary["within"], summary["across"]]
        contrast, within, across = (f"{value:.3f}" for value in values)
        rows.append([f"`{name}`", contrast, interval, within, across, str(summary["n_videos"])])
    header = ["feature", "contrast", "95 % interval", "within actions", "across borders", "videos"]
    return [
        "Mean cosine of two clips of an action, minus mean cosine of a clip of an action and one of the background.",
        format_table(header, rows),
    ]

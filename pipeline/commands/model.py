r"""Show what a model folder holds, and check that it is complete.

    sa-tsp model show results/demo/model
    sa-tsp model check model/ --weights weights/

`show` reads only the description. `check` compares the sha256 of each file, finds the published weights that the model
names, and builds all parts: a folder that passes can caption.

Exit status: 0, or 2 if something is missing, changed or of a newer version; the one line of the error names it.
"""

from pathlib import Path

from pipeline.config.command import build_parser, command
from pipeline.config.encoders import WEIGHTS_FOLDER


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = build_parser(__doc__, prog="sa-tsp model")
    commands = arguments.add_subparsers(dest="command", required=True)
    showing = commands.add_parser("show", help="show parts, settings, scores and licences")
    checking = commands.add_parser("check", help="check all files, and build all parts")
    for parser in (showing, checking):
        parser.add_argument("folder", type=Path, help="model folder")
    checking.add_argument(
        "--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of published weights that the model names"
    )
    args = arguments.parse_args(argv)
    print("\n".join(_check(args.folder, args.weights) if args.command == "check" else _show(args.folder)))
    return 0


def _show(folder: Path) -> list[str]:
    from pipeline.bundle.card import (
        describe_decoding,
        describe_events,
        describe_external_data,
        describe_feature,
        weight_lines,
    )
    from pipeline.bundle.description import read_description, read_model_manifest

    manifest = read_model_manifest(folder)
    description = read_description(manifest)
    size = sum(entry["bytes"] for entry in manifest.files.values())
    scores = [
        f"scores, {row['name']}: {', '.join(f'{key} {value:.2f}' for key, value in row['values'].items() if value)}"
        for row in description.scores
    ]
    return [
        f"{folder}: {description.title}, trained on {description.dataset}",
        f"files: {len(manifest.files)}, {size / 1e6:.1f} MB; licence: {description.licence}",
        *(f"feature {name}: {describe_feature(feature)}" for name, feature in description.features.items()),
        f"events: {describe_events(description)}",
        f"captioners: {', '.join(description.captioners)}",
        f"decoding: {describe_decoding(description)}",
        f"selection: {', then '.join(description.select_captions.criteria)}",
        *scores,
        *(line.removeprefix("- ") for line in weight_lines(description)),
        f"external data: {describe_external_data(description)}",
    ]


def _check(folder: Path, weights: Path) -> list[str]:
    from pipeline.bundle.description import read_model_manifest
    from pipeline.bundle.model import Model
    from pipeline.captioning.bundle import count_parameters

    model = Model.open(folder, weights=weights, device="cpu")
    manifest = read_model_manifest(folder)
    lines = [f"ok  {len(manifest.files)} files have the sha256 of the manifest"]
    for name, extractor in model.extractors.items():
        lines.append(f"ok  feature {name}: {extractor.dim} channels, from {extractor.modality}")
    if model.proposer is not None:
        lines.append(f"ok  proposer: {count_parameters(model.proposer.proposer.network):,} parameters")
    for name, bundle in model.captioners.items():
        parameters = count_parameters(bundle.captioner)
        lines.append(f"ok  captioner {name}: {parameters:,} parameters, {bundle.vocabulary.size} words")
    return [*lines, f"{folder}: complete"]


if __name__ == "__main__":
    raise SystemExit(main())

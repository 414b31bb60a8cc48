r"""List and fetch published weights of encoders, and show the content of a weight file.

    sa-tsp weights list
    sa-tsp weights fetch r2plus1d_34_8_kinetics
    sa-tsp weights show weights/r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth

`fetch` is the only part of the pipeline that accesses the network.
"""

from pathlib import Path

import torch

from pipeline.config.command import build_parser, command
from pipeline.config.encoders import ENCODERS, PUBLISHED_WEIGHTS, WEIGHTS_FOLDER, initial_weights_path
from pipeline.encoders.fetch import fetch_weights
from pipeline.encoders.r2plus1d import build_encoder
from pipeline.encoders.weight_files import EncoderWeights, read_encoder_weights


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = build_parser(__doc__, prog="sa-tsp weights")
    commands = arguments.add_subparsers(dest="command", required=True)
    list_parser = commands.add_parser("list", help="list the published weights; * marks those that are present")
    fetch_parser = commands.add_parser("fetch", help="download published weights")
    fetch_parser.add_argument("name", choices=PUBLISHED_WEIGHTS, metavar="NAME", help="name as shown by `list`")
    for subparser in (list_parser, fetch_parser):
        subparser.add_argument(
            "--folder", type=Path, default=WEIGHTS_FOLDER, help=f"folder of the files; default {WEIGHTS_FOLDER}"
        )
    show_parser = commands.add_parser("show", help="show the content of a file, without executing anything in it")
    show_parser.add_argument("weights", metavar="NAME|FILE", help="name of published weights, or a file")
    args = arguments.parse_args(argv)
    match args.command:
        case "list":
            lines = _list_weights(args.folder)
        case "fetch":
            lines = [str(fetch_weights(PUBLISHED_WEIGHTS[args.name], args.folder))]
        case _:
            lines = _describe(read_encoder_weights(initial_weights_path(args.weights)))
    print("\n".join(lines))
    return 0


def _list_weights(folder: Path) -> list[str]:
    width = max(map(len, PUBLISHED_WEIGHTS))
    lines = []
    for weights in PUBLISHED_WEIGHTS.values():
        mark = "*" if (folder / weights.file_name).is_file() else " "
        lines.append(f"{mark} {weights.name:<{width}}  {weights.sha256_prefix}  {weights.description}")
    return [*lines, f"* is present in {folder}/"]


def _describe(weights: EncoderWeights) -> list[str]:
    published = [
        entry.description for entry in PUBLISHED_WEIGHTS.values() if weights.sha256.startswith(entry.sha256_prefix)
    ]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    num_parameters = sum(tensor.numel() for name, tensor in weights.encoder.items() if not name.endswith(statistics))
    heads = [
        f"head {name.removesuffix('.weight')}: {tensor.shape[0]} classes, feature of {tensor.shape[1]}"
        for name, tensor in weights.heads.items()
        if name.endswith(".weight")
    ]
    return [
        f"{weights.path}: sha256 {weights.sha256}",
        f"published: {published[0] if published else 'not known'}",
        f"encoder: {_find_architecture(weights)}, {num_parameters:,} parameters in {len(weights.encoder)} keys",
        *(heads or ["no heads"]),
    ]


def _find_architecture(weights: EncoderWeights) -> str:
    """Return the architecture with the names and shapes of the file."""
    shapes = {name: tensor.shape for name, tensor in weights.encoder.items()}
    for architecture in ENCODERS:
        with torch.device("meta"):
            state = build_encoder(architecture).state_dict()
        if shapes == {name: tensor.shape for name, tensor in state.items()}:
            return architecture
    return f"none of {', '.join(ENCODERS)}"


if __name__ == "__main__":
    raise SystemExit(main())

r"""Weights to start from: what has been published, what a file holds, and, only when asked, fetching one.

    python -m pipeline.commands.weights list
    python -m pipeline.commands.weights fetch r2plus1d_34_8_kinetics
    python -m pipeline.commands.weights show weights/r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth

Nothing else in the pipeline touches the network.
"""

from pathlib import Path
from typing import get_args

import torch

from pipeline.config.command import command, parser
from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.architectures import build
from pipeline.encoders.checkpoints import Checkpoint, read_checkpoint
from pipeline.encoders.fetch import fetch
from pipeline.encoders.registry import FOLDER, PUBLISHED, weight_file


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__, prog="python -m pipeline.encoders")
    commands = arguments.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="published weights, and which of them are there")
    fetching = commands.add_parser("fetch", help="download one of them")
    fetching.add_argument("name", choices=PUBLISHED, metavar="NAME", help="as `list` shows it")
    for each in (listing, fetching):
        each.add_argument("--folder", type=Path, default=FOLDER, help=f"of the files; default {FOLDER}")
    showing = commands.add_parser("show", help="what a file holds; executes nothing in it")
    showing.add_argument("weights", metavar="NAME|FILE")
    args = arguments.parse_args(argv)
    match args.command:
        case "list":
            lines = _listing(args.folder)
        case "fetch":
            lines = [str(fetch(PUBLISHED[args.name], args.folder))]
        case _:
            lines = _contents(read_checkpoint(weight_file(args.weights)))
    print("\n".join(lines))
    return 0


def _listing(folder: Path) -> list[str]:
    width = max(map(len, PUBLISHED))
    return [
        f"{'*' if (folder / entry.file).is_file() else ' '} {entry.name:<{width}}  {entry.digest}  {entry.what}"
        for entry in PUBLISHED.values()
    ] + [f"* is there, in {folder}/"]


def _contents(checkpoint: Checkpoint) -> list[str]:
    known = [entry.what for entry in PUBLISHED.values() if checkpoint.sha256.startswith(entry.digest)]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    parameters = sum(tensor.numel() for name, tensor in checkpoint.encoder.items() if not name.endswith(statistics))
    heads = [
        f"head {name.removesuffix('.weight')}: {tensor.shape[0]} classes, feature of {tensor.shape[1]}"
        for name, tensor in checkpoint.heads.items()
        if name.endswith(".weight")
    ]
    return [
        f"{checkpoint.path}: sha256 {checkpoint.sha256}",
        f"published: {known[0] if known else 'not known'}",
        f"encoder: {_architecture(checkpoint)}, {parameters:,} parameters in {len(checkpoint.encoder)} keys",
        *(heads or ["no heads"]),
    ]


def _architecture(checkpoint: Checkpoint) -> str:
    """The architecture whose names and shapes the file has."""
    given = {name: tensor.shape for name, tensor in checkpoint.encoder.items()}
    for name in get_args(PretrainEncoder.model_fields["architecture"].annotation):
        with torch.device("meta"):
            own = build(name).state_dict()
        if given == {key: tensor.shape for key, tensor in own.items()}:
            return str(name)
    return "none of those that are built here"


if __name__ == "__main__":
    raise SystemExit(main())

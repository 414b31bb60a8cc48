"""The pool of extractors: what there is, and what each one wants.

    python -m pipeline.commands.extractors list
    python -m pipeline.commands.extractors show i3d_flow

Nothing here touches the network; files are fetched by hand, from the addresses that `show` tells.
"""

from pathlib import Path

from pipeline.config.command import command, parser
from pipeline.encoders.registry import FOLDER
from pipeline.features.networks.registry import POOL, entry_of
from pipeline.features.networks.spec import Entry
from pipeline.features.networks.weights import WeightFile


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__, prog="python -m pipeline.commands.extractors")
    commands = arguments.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="all extractors, and whose weights are there")
    showing = commands.add_parser("show", help="one of them: windows, what it sees, weights, licence")
    showing.add_argument("name", metavar="NAME", help="as `list` shows it")
    for each in (listing, showing):
        each.add_argument("--folder", type=Path, default=FOLDER, help=f"of the files; default {FOLDER}")
    args = arguments.parse_args(argv)
    lines = _listing(args.folder) if args.command == "list" else _shown(entry_of(args.name), args.folder)
    print("\n".join(lines))
    return 0


def _listing(folder: Path) -> list[str]:
    width = max(map(len, POOL))
    return [
        f"{_mark(entry.weights, folder)} {entry.name:<{width}}  {entry.modality:<6}  {entry.dim:>4}  {entry.what}"
        for entry in POOL.values()
    ] + [f"* weights are there, in {folder}/"]


def _shown(entry: Entry, folder: Path) -> list[str]:
    grid, unit = entry.grid, "samples" if entry.modality == "sound" else "frames"
    lines = [
        f"{entry.name}: {entry.what}",
        f"feature: {entry.dim} channels",
        f"windows: {grid.frames} {unit} at {grid.fps:g} per second ({grid.frames / grid.fps:.3g} s), one each "
        f"{grid.stride} {unit} ({grid.stride / grid.fps:.3g} s)",
        f"sees: {entry.sees}",
    ]
    for file in (entry.weights, *entry.more):
        lines += [f"weights: {_mark(file, folder)} {file.wanted}", f"licence: {file.licence}"]
    return [*lines, f"* is there, in {folder}/"]


def _mark(file: WeightFile, folder: Path) -> str:
    return "*" if (folder / file.file).is_file() else " "


if __name__ == "__main__":
    raise SystemExit(main())

r"""Check annotations: what a run would see of them, and what is odd.

In:  files or folders of captions in any format (docs/annotations.md), and the folder of their videos; or a dataset.
Out: the printed report: readers, videos, splits, events, labels; then what is odd, with what a run makes of it.

    sa-tsp annotations check captions/ --videos films/
    sa-tsp annotations check elan/ --reader elan --set tier=Captions --videos films/
    sa-tsp annotations check anna.csv ben.csv --actions actions.json --videos films/
    sa-tsp annotations check --dataset mine

Several files are several annotators of the same videos; files of one video each belong into a folder for each
annotator. Without --dataset, the videos are divided as `sa-tsp init` would divide them. Nothing is written.

Exit status: 0 if nothing is odd, 3 if something is, 2 if a run would stop: the error says why.
"""

import argparse
from pathlib import Path

import yaml

from pipeline.config.build_corpus import BuildCorpus
from pipeline.config.command import build_parser, command
from pipeline.config.load import load_config
from pipeline.config.readers import ReaderChoice, parse_reader, readers_of
from pipeline.datasets.annotation_summary import summarize
from pipeline.datasets.new_dataset import propose_dataset
from pipeline.errors import PipelineError

SOMETHING_ODD = 3
"""Exit status if something is odd."""


def add_reader(arguments: argparse.ArgumentParser) -> None:
    """Add the arguments that select the reader of captions."""
    names = ", ".join(spec.name for spec in readers_of("captions"))
    arguments.add_argument("--reader", metavar="NAME", help=f"reader of the captions, if it is not found out: {names}")
    arguments.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the reader, such as tier=Captions"
    )
    arguments.add_argument("--actions", nargs="+", type=Path, default=[], metavar="FILE", help="action annotations")


def parse_reader_arguments(args: argparse.Namespace) -> ReaderChoice | None:
    """Return the reader that a command line names, as a configuration names it.

    Raises:
        PipelineError: no such reader or setting, or settings without a reader.
    """
    settings = {}
    for assignment in args.set:
        key, sign, value = assignment.partition("=")
        if not (key and sign):
            raise PipelineError(f"--set {assignment}: expected KEY=VALUE, such as tier=Captions")
        settings[key] = yaml.safe_load(value) if key == "fps" else value
    if args.reader is None:
        if settings:
            raise PipelineError("--set is for the settings of a reader: name it, such as --reader elan")
        return None
    choice: ReaderChoice = {"name": args.reader, **settings} if settings else args.reader
    parse_reader(choice, "captions")
    return choice


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = build_parser(__doc__, prog="sa-tsp annotations")
    commands = arguments.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="report what a run would see")
    checking.add_argument("captions", nargs="*", type=Path, metavar="FILES", help="files or folders of captions")
    checking.add_argument("--videos", type=Path, metavar="FOLDER", help="folder of the videos")
    checking.add_argument("--dataset", metavar="NAME", help="check the annotations of config/datasets/NAME.yaml")
    add_reader(checking)
    args = arguments.parse_args(argv)
    summary = summarize(_find_settings(args))
    print("\n".join(summary.lines()))
    return SOMETHING_ODD if summary.oddities else 0


def _find_settings(args: argparse.Namespace) -> BuildCorpus:
    """Return the section of the dataset, or the one that `sa-tsp init` would write."""
    if args.dataset:
        if args.captions or args.videos:
            raise PipelineError("--dataset names the files and the videos: give no others")
        return load_config(args.dataset, {}).build_corpus
    if not args.captions or not args.videos:
        raise PipelineError("give files of captions and --videos FOLDER, or --dataset NAME")
    return propose_dataset(args.videos, args.captions, args.actions, parse_reader_arguments(args)).build_corpus


if __name__ == "__main__":
    raise SystemExit(main())

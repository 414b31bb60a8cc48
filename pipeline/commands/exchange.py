r"""Import and export features in formats of other projects: HDF5 (TSP, C3D, MDVC), folders of .npy (PDVC) and of .pt.

    sa-tsp exchange import downloaded/tsp/ --fps 15 --frames 16 --stride 16 \
        --corpus results/anet/corpus/manifest.json --output results/anet/features/tsp
    sa-tsp exchange import downloaded/i3d/ --suffix _rgb --fps 25 --frames 64 --stride 64 \
        --videos results/mine/video --output results/mine/features/i3d_rgb
    sa-tsp exchange import mdvc.hdf5 --key i3d_features/rgb --fps 25 --frames 64 --stride 64 \
        --corpus results/anet/corpus/manifest.json --output results/anet/features/i3d_rgb
    sa-tsp exchange export results/anet/features/tsp --output tsp.h5
    sa-tsp exchange export results/anet/features/tsp --output tsp/ --suffix _tsp

Arrays are [rows, channels]; row i of a video lasts from i * stride / fps to (i * stride + frames) / fps seconds.
See docs/exchange.md.

Exit status: 0 if every array of a selected video could be used (a video without an array, or with an empty one, is no
failure), 3 if some could not and their videos were left out, 2 if the user must change something first, 1 after an
internal error.
"""

import argparse
import logging
from pathlib import Path
from typing import get_args

from pipeline.config.command import build_parser, command
from pipeline.datasets.corpus import RejectedVideo
from pipeline.errors import PipelineError
from pipeline.features.exchange import VideoSelection, export_h5, export_npy, import_features
from pipeline.features.external_array import ArraySelector
from pipeline.features.external_h5 import H5_SUFFIXES
from pipeline.features.shard import Dtype
from pipeline.features.store import FeatureStore
from pipeline.features.time_grid import ClipGrid, SnippetGrid

SOME_REJECTED = 3
"""Exit status if arrays of some videos could not be used."""


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    arguments = build_parser(__doc__, prog="sa-tsp exchange")
    commands = arguments.add_subparsers(dest="command", required=True)
    _add_import(commands.add_parser("import", help="import features from files into the store"))
    exporting = commands.add_parser("export", help="export features of the store to a file")
    exporting.add_argument("features", type=Path, help="folder of the feature, or of one of its shards")
    exporting.add_argument("--output", type=Path, required=True, help="new .h5 file, or new folder of .npy files")
    exporting.add_argument("--suffix", default="", help="part between id and .npy: _rgb writes v_x_rgb.npy")
    args = arguments.parse_args(argv)
    if args.command == "import":
        return SOME_REJECTED if _import(args) else 0
    _export(args)
    return 0


def _add_import(importing: argparse.ArgumentParser) -> None:
    importing.add_argument("source", type=Path, help="HDF5 file, or folder of HDF5, .npy or .pt files")
    importing.add_argument("--output", type=Path, required=True, help="results/{dataset}/features/{feature}")
    importing.add_argument("--suffix", help="part between id and .npy or .pt: _rgb reads v_x_rgb.npy")
    importing.add_argument("--key", help="HDF5: dataset in each video's group (i3d_features/rgb); .pt: key of a dict")
    importing.add_argument("--fps", type=float, required=True, help="frames (audio: samples) per second in a clip")
    importing.add_argument("--frames", type=int, required=True, help="frames of a clip")
    importing.add_argument("--stride", type=int, required=True, help="frames from one clip to the next")
    selection = importing.add_mutually_exclusive_group()
    selection.add_argument("--corpus", type=Path, help="manifest of the corpus: videos, shards, annotated durations")
    selection.add_argument("--videos", type=Path, help="folder of the re-encoded videos: the same, durations measured")
    importing.add_argument("--dtype", choices=get_args(Dtype), default="float32", help="type of the numbers on disk")
    importing.add_argument("--overwrite", action="store_true", help="replace another feature in the output")


def _import(args: argparse.Namespace) -> list[RejectedVideo]:
    """Import features; return the videos whose arrays could not be used."""
    if not (0 < args.fps < float("inf") and args.frames > 0 and args.stride > 0):
        raise PipelineError("--fps, --frames and --stride must be above 0")
    selection = None
    if args.corpus:
        selection = VideoSelection.from_corpus(args.corpus)
    elif args.videos:
        selection = VideoSelection.from_reencoded(args.videos)
    return import_features(
        args.source,
        args.output,
        ClipGrid(args.fps, args.frames, args.stride),
        selection=selection,
        selector=ArraySelector(args.suffix, args.key),
        dtype=args.dtype,
        overwrite=args.overwrite,
    )


def _export(args: argparse.Namespace) -> None:
    store = FeatureStore(args.features)
    if args.output.suffix in H5_SUFFIXES:
        if args.suffix:
            raise PipelineError("--suffix is for folders of .npy files; HDF5 files have keys")
        export_h5(store, args.output)
    else:
        export_npy(store, args.output, args.suffix)
    grid = store.grid
    logging.info("%s: %d videos; left out %d videos without features", args.output, len(store), len(store.absent))
    if isinstance(grid, SnippetGrid):
        logging.info(
            "to import it again: extract_features: {NAME: {file: %s, snippets: %d}}", args.output, grid.snippets
        )
        return
    logging.info("to import it again: --fps %r --frames %d --stride %d", grid.fps, grid.frames, grid.stride)


if __name__ == "__main__":
    raise SystemExit(main())

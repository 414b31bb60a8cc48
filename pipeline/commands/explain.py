"""Show how a result was made, or the first stage in which two results differ.

    sa-tsp explain results/demo_test_meteor.json
    sa-tsp explain --diff results/demo_test_meteor.json results/demo_s7_test_meteor.json

In: the provenance records beside all outputs (`*.provenance.json`), from the result back to the external files.
Out: on the terminal, a tree of all files on the way (stage, settings digest, code hash, inputs, time), then everything
that is missing or has changed since. `--json` prints the same as JSON. The status of `--diff` is 1 if the results
differ, 0 if they are equal, 2 on errors.
"""

import json
from pathlib import Path

from pipeline.config.command import build_parser, command
from pipeline.errors import PipelineError
from pipeline.provenance.difference import compare_results, describe_differences
from pipeline.provenance.trace import trace_result
from pipeline.provenance.tree import render_tree, tree_as_data


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = build_parser(__doc__, prog="sa-tsp explain")
    arguments.add_argument("result", type=Path, nargs="+", help="an output of any stage; two with --diff")
    arguments.add_argument("--diff", action="store_true", help="show the first stage in which two results differ")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    args = arguments.parse_args(argv)
    expected = 2 if args.diff else 1
    if len(args.result) != expected:
        hint = "--diff compares two results" if args.diff else "give one result, or --diff and two"
        raise PipelineError(f"{len(args.result)} files given, {expected} expected: {hint}")
    graphs = [trace_result(path) for path in args.result]
    if args.diff:
        differences = compare_results(*graphs)
        if args.json:
            print(json.dumps([vars(difference) for difference in differences], indent=1))
        else:
            print(describe_differences(differences))
        return int(bool(differences))
    print(json.dumps(tree_as_data(graphs[0]), indent=1) if args.json else "\n".join(render_tree(graphs[0])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

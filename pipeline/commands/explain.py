"""Say where a result came from; or in which stage two results first differ.

    python -m pipeline.commands.explain results/demo_test_meteor.json
    python -m pipeline.commands.explain --diff results/demo_test_meteor.json results/demo_s7_test_meteor.json

In: what stands beside each output (`*.provenance.json`), from the result back to the files that were given.
Out: on the terminal, a tree of all files on the way: stage, settings digest, code stamp, inputs, when; then what is
missing or has changed since. With `--json` the same as JSON. `--diff` ends with status 1 where the results differ, 0
where they do not, 2 on errors.
"""

import json
from pathlib import Path

from pipeline.config.command import command, parser
from pipeline.errors import PipelineError
from pipeline.provenance.difference import compare, told
from pipeline.provenance.tree import lines, plain
from pipeline.provenance.walk import walk


@command
def main(argv: list[str] | None = None) -> int:
    """Command line."""
    arguments = parser(__doc__)
    arguments.add_argument("result", type=Path, nargs="+", help="an output of any stage; two with --diff")
    arguments.add_argument("--diff", action="store_true", help="name the first stage in which two results differ")
    arguments.add_argument("--json", action="store_true", help="as JSON")
    args = arguments.parse_args(argv)
    wanted = 2 if args.diff else 1
    if len(args.result) != wanted:
        raise PipelineError(f"{len(args.result)} files are given; " + ("--diff takes two" if args.diff else "name one"))
    walks = [walk(path) for path in args.result]
    if args.diff:
        found = compare(*walks)
        print(json.dumps([vars(each) for each in found], indent=1) if args.json else told(found))
        return int(bool(found))
    print(json.dumps(plain(walks[0]), indent=1) if args.json else "\n".join(lines(walks[0])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

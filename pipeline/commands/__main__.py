"""The console command `sa-tsp`: finds a command's module by its name and runs it.

    sa-tsp --help
    sa-tsp doctor
    python -m pipeline.commands doctor

Each module of this package is a command. Only the module of the given command is imported, so that `sa-tsp --help` is
fast.
"""

import ast
import importlib
import sys
from pathlib import Path

from pipeline.errors import PipelineError, nearest

USAGE = """\
usage: sa-tsp COMMAND [ARGUMENTS]

{commands}

sa-tsp COMMAND --help lists the arguments and settings of a command, with an example.
The pipeline itself is run by snakemake: snakemake --cores 2 results/demo_test_meteor.json"""


def list_commands() -> dict[str, str]:
    """Return the commands and their one-line descriptions, sorted by name."""
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return {file.stem.replace("_", "-"): _description(file) for file in files}


def _description(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0] if docstring else ""


def main(argv: list[str] | None = None) -> int:
    """Command line: the name of a command, then its arguments; returns the status of the command."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, list_commands()))
        print(USAGE.format(commands="\n".join(f"  {name:{width}}  {text}" for name, text in list_commands().items())))
        return 0
    name, *arguments = words
    if name not in list_commands():
        print(f"error: no command {name!r}{nearest(name, list_commands())} (see sa-tsp --help)", file=sys.stderr)
        return 2
    if argv is None:
        sys.argv = [f"sa-tsp {name}", *arguments]  # the name of the program in usage messages and provenance
    try:
        module = importlib.import_module(f"pipeline.commands.{name.replace('-', '_')}")
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return int(module.main(arguments))


if __name__ == "__main__":
    raise SystemExit(main())

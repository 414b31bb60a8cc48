"""Run several stages in one process, which imports torch once.

python -m helpers.run_stages '[["train_proposer", "--config", "{}"], ["propose_events", "--config", "{}"]]'
"""

import importlib
import json
import sys


def main() -> int:
    """Run the stages in order, and return the first status that is not 0."""
    for stage, *arguments in json.loads(sys.argv[1]):
        if status := importlib.import_module(f"pipeline.{stage}").main(arguments):
            return int(status)
    return 0


if __name__ == "__main__":
    sys.exit(main())

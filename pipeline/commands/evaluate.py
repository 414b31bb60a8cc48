"""Score captions, paragraphs, proposals or detections against references.

    sa-tsp evaluate captions --predictions captions.json --references val_1.json val_2.json --output scores.json

The sub-commands, their arguments and settings are those of the stage `evaluate`.
"""

from pipeline.evaluate import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())

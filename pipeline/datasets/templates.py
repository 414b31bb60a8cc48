"""Templates with bracketed slots, "Putting [something] on [something]", and the captions that placeholders make.

Something-Something (Goyal et al., 2017; version 2 with the placeholders as written by the actors): a class is a
template; a full caption has the placeholders in its slots, a simplified one the last word of each (Mahdisoltani et al.,
2018, Table 4: "a blue plastic cap" becomes "cap"; the paper says the last noun, the authors' code takes the last word).

The published routines fail on odd rows or corrupt the text. Here every row gives a caption, by one rule:

- Slot i gets placeholder i. White space becomes single spaces.
- A slot without a placeholder, or with an empty one, gets the words in its brackets, as in the name of the class.
- Placeholders beyond the last slot are ignored.
- Brackets inside a placeholder are removed, and its words stay.
- A template without slots is its own caption.

`fill_template` reports which of these happened, so that odd rows are counted.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

CaptionKind = Literal["full", "simplified"]

SLOT = re.compile(r"\[([^\[\]]*)\]")
"""A slot of a template: words in brackets."""

ODD_ROWS = (
    "template_without_slots",
    "too_few_placeholders",
    "too_many_placeholders",
    "empty_placeholder",
    "bracket_in_placeholder",
)
"""What can be odd about a row, each counted once per row."""


@dataclass(frozen=True)
class FilledTemplate:
    """The captions of a row.

    Attributes:
        full: with whole placeholders.
        simplified: with the last word of each placeholder.
        oddities: those of `ODD_ROWS` that hold.
    """

    full: str
    simplified: str
    oddities: tuple[str, ...]


def class_name(template: str) -> str:
    """Return the name of a template's class: without brackets, with single spaces."""
    return " ".join(re.sub(r"[\[\]]", "", template).split())


def last_word(placeholder: str) -> str:
    """Return the last word of a placeholder that has one; words are separated by white space."""
    return placeholder.split()[-1]


def fill_template(template: str, placeholders: Sequence[str]) -> FilledTemplate:
    """Fill the slots of a template, by the rule of this module.

    Args:
        template: with slots in brackets.
        placeholders: in the order of the slots.
    """
    slots = SLOT.findall(template)
    cleaned = [" ".join(re.sub(r"[\[\]]", " ", text).split()) for text in placeholders]
    used = cleaned[: len(slots)]
    oddities = {
        "template_without_slots": not slots,
        "too_few_placeholders": len(placeholders) < len(slots),
        "too_many_placeholders": bool(slots) and len(placeholders) > len(slots),
        "empty_placeholder": not all(used),
        "bracket_in_placeholder": any(re.search(r"[\[\]]", text) for text in placeholders[: len(slots)]),
    }
    used += [""] * (len(slots) - len(used))
    return FilledTemplate(
        _fill(template, used, str),
        _fill(template, used, last_word),
        tuple(name for name in ODD_ROWS if oddities[name]),
    )


def _fill(template: str, placeholders: Sequence[str], shorten: Callable[[str], str]) -> str:
    """Return a template with a text in each slot; an empty placeholder leaves the words of the slot."""
    texts = iter(placeholders)

    def text_of(slot: re.Match[str]) -> str:
        placeholder = next(texts)
        return shorten(placeholder) if placeholder else slot[1]

    return " ".join(SLOT.sub(text_of, template).split())

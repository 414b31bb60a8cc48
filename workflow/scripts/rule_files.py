"""The rules as their files hold them, read as text."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "workflow" / "rules"


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: the rule's name.
        docstring: its docstring.
        outputs: the paths it declares as outputs, with wildcards.
        text: its body.
    """

    name: str
    docstring: str
    outputs: list[str]
    text: str


def read_rules() -> dict[str, Rule]:
    """Return all rules of the rule files by name."""
    rules = {}
    for path in sorted(RULES.glob("*.smk")):
        text = path.read_text(encoding="utf-8")
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL):
            docstring = re.match(r'\s*"""(.*?)"""', body, flags=re.DOTALL)
            block = re.search(r"^    output:\n((?:        .*\n)+)", body, flags=re.MULTILINE)
            paths = re.findall(r'"(.*)"', block[1]) if block else []
            outputs = [re.sub(r"\{(\w+),[^}]*\}", r"{\1}", path) for path in paths]  # without constraints of wildcards
            rules[name] = Rule(name, " ".join(docstring[1].split()) if docstring else "", outputs, body)
    return rules


def entry_wildcards() -> dict[str, str]:
    """Return the sections with named entries -> the wildcard that names an entry."""
    calls = {name: re.findall(rf'config_params\("{name}", "(\w+)"', rule.text) for name, rule in read_rules().items()}
    return {name: wildcards[0] for name, wildcards in calls.items() if wildcards}

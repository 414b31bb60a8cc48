"""The machine of an estimate: `gpus=8,cores=64`, alone or several of them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipeline.errors import PipelineError, nearest
from pipeline.monitor.schedule import Capacity
from pipeline.provenance.jobs import Job

OPTION = "--machine"
KEYS = ("gpus", "cores", "card")


@dataclass(frozen=True)
class Machine:
    """Equal nodes; a job runs within one of them.

    Attributes:
        cores: cores of a node.
        gpus: GPUs of a node.
        card: the card for which rates are looked up.
        nodes: number of nodes.
    """

    cores: int
    gpus: int
    card: str
    nodes: int = 1

    @property
    def capacity(self) -> Capacity:
        """What the machine runs at a time."""
        return Capacity(self.cores, self.gpus, self.nodes)

    def __str__(self) -> str:
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)} ({self.card})" if self.gpus else "no GPU"
        return f"{self.nodes} node{'s' if self.nodes > 1 else ''}, each with {self.cores} cores and {gpus}"

    def check_jobs(self, jobs: Iterable[Job]) -> None:
        """Check that every job fits into a node.

        Raises:
            PipelineError: a job needs more GPUs than a node has, or a GPU where there is none.
        """
        for job in jobs:
            device = (job.settings() or {}).get("device") if job.gpus else None
            if self.gpus < job.gpus and (self.gpus or device == "cuda"):
                gpus = f"{job.gpus} GPU{'s' * (job.gpus > 1)}"
                remedy = "device: auto" if device == "cuda" else "a smaller world_size"
                raise PipelineError(
                    f"{OPTION}: {job.name} needs {gpus} on one node, but gpus={self.gpus}: give more, or set {remedy} "
                    "for it"
                )


def parse_machine(text: str, nodes: int, cards: Collection[str]) -> Machine:
    """Read the words of the option.

    Args:
        text: `gpus=8,cores=64`; `gpus` is 0 where it is left out, and `card` the first of the cards.
        nodes: number of such machines.
        cards: cards for which there are rates.

    Raises:
        PipelineError: a key is unknown, missing or there twice, or a value is no number in range.
    """
    values: dict[str, str] = {}
    for part in text.split(","):
        key, separator, value = (word.strip() for word in part.partition("="))
        if not separator:
            raise PipelineError(f"{OPTION} {text}: {part!r}: expected KEY=VALUE, for example gpus=8,cores=64")
        if key not in KEYS:
            raise PipelineError(f"{OPTION} {text}: no key {key!r}{nearest(key, KEYS)}; the keys are {', '.join(KEYS)}")
        if key in values:
            raise PipelineError(f"{OPTION} {text}: {key} is there twice")
        values[key] = value
    if "cores" not in values:
        raise PipelineError(f"{OPTION} {text}: cores is missing, for example gpus=8,cores=64")
    if nodes < 1:
        raise PipelineError(f"--nodes {nodes}: expected 1 or more")
    card = values.get("card", next(iter(cards)))
    if card not in cards:
        raise PipelineError(f"{OPTION} {text}: no rates of the card {card!r}; there are those of {', '.join(cards)}")
    gpus = _read_count(text, "gpus", values.get("gpus", "0"), least=0)
    return Machine(_read_count(text, "cores", values["cores"], least=1), gpus, card, nodes)


def _read_count(text: str, key: str, value: str, least: int) -> int:
    if not (value.isascii() and value.isdecimal()) or int(value) < least:
        raise PipelineError(f"{OPTION} {text}: {key} = {value!r}: expected a whole number, {least} or more")
    return int(value)

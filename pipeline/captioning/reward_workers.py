"""Who counts what captions and references have in common: this process, or several others while it goes on."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType

import numpy as np
from jaxtyping import Float

from pipeline.errors import PipelineError
from pipeline.evaluation.cider_d import CiderD
from pipeline.evaluation.meteor.formula import Pair, Scorer
from pipeline.evaluation.meteor.words import PLAIN
from pipeline.io.worker import Apart, CrashedError, TooLongError

CIDER_D = 23
"""Column of CIDEr-D, behind METEOR's 23 statistics."""

LIMIT_S = 1200.0
"""A process that counts for longer is stopped: its own Java is stopped earlier."""

Counts = Float[np.ndarray, "pairs 24"]
"""METEOR's statistics and CIDEr-D of each pair; 0 where nobody asked for them."""


def lookups(texts: Sequence[str]) -> list[str]:
    """What METEOR must have seen to know all words of texts: each by itself, and what is not plain as it stands."""
    words = {word for text in texts for word in text.split(" ") if word}
    return [*sorted(words), *(text for text in texts if not PLAIN.fullmatch(text))]


class Counter:
    """Counts pairs. It can be sent to another process, where it opens METEOR for itself.

    Args:
        meteor: opens METEOR; None where it is not asked for.
        cider_d: None where it is not asked for.
        texts: whose words will come; METEOR looks them up at once, and answers quickly later.
    """

    def __init__(self, meteor: Callable[[], Scorer] | None, cider_d: CiderD | None, texts: Sequence[str]) -> None:
        self._open, self._cider_d = meteor, cider_d
        self._texts = lookups(texts)
        self._meteor: Scorer | None = None

    def __call__(self, pairs: Sequence[Pair]) -> Counts:
        """Count pairs (caption, reference); none at all to get ready.

        Raises:
            PipelineError: see `pipeline.evaluation.meteor.Meteor`.
        """
        counts = np.zeros((len(pairs), CIDER_D + 1))
        if self._open and not self._meteor:
            self._meteor = self._open()
            self._meteor.statistics([(text, "") for text in self._texts])
        if self._meteor:
            counts[:, :CIDER_D] = self._meteor.statistics(pairs)
        if self._cider_d:
            counts[:, CIDER_D] = self._cider_d.score(pairs)
        return counts


class Crew:
    """Processes that count. With none, whoever asks counts: the counts are the same. A context manager.

    The processes end with this one, however it ends.

    Args:
        counter: each of them gets a copy.
        workers: how many processes.
    """

    def __init__(self, counter: Counter, workers: int) -> None:
        self._counter, self._workers = counter, workers
        self._stack = ExitStack()
        self._members: list[tuple[ThreadPoolExecutor, Apart[[Sequence[Pair]], Counts]]] = []

    def __enter__(self) -> "Crew":
        for _ in range(self._workers):
            apart = self._stack.enter_context(Apart(self._counter))
            thread = self._stack.enter_context(ThreadPoolExecutor(1))
            thread.submit(apart.call, LIMIT_S, [])  # what goes wrong at the start goes wrong at the first question too
            self._members.append((thread, apart))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def ask(self, pairs: Sequence[Pair]) -> Callable[[], Counts]:
        """Have pairs counted; the answer waits for it.

        Raises:
            PipelineError: from the answer: METEOR's, or a process ended or hung.
        """
        if not self._members:
            return lambda: self._counter(pairs)
        size = max(1, -(-len(pairs) // len(self._members)))
        parts = [list(pairs[first : first + size]) for first in range(0, len(pairs), size)]
        asked = [
            thread.submit(apart.call, LIMIT_S, part)
            for (thread, apart), part in zip(self._members, parts, strict=False)
        ]
        return lambda: np.concatenate([np.empty((0, CIDER_D + 1)), *map(_answer, asked)])


def _answer(asked: "Future[Counts]") -> Counts:
    try:
        return asked.result()
    except (CrashedError, TooLongError) as error:
        how = str(error) if isinstance(error, CrashedError) else f"the process was silent for {LIMIT_S:g} s"
        raise PipelineError(
            f"rewards: {how}; is memory short? Run it again, it goes on after its last epoch, perhaps with fewer such "
            "processes (finetune_scst: reward_workers)"
        ) from None

"""Section `steps` of gpu.py: training steps of every network that learns from features or captions.

Each network is trained for three steps, twice, and once more with its state saved and read after the first step. If the
repeated training has equal weights, the continued one must have them too.
"""

import copy
import io
from collections.abc import Callable, Iterator
from functools import partial

from pipeline.training.precision import autocast

import torch
from gpu_common import Row, Setting, continue_after_crash
from gpu_networks import NetworkCase, Precision, list_networks, same_draws, to_device
from torch import nn

SECTION = "steps"
NUM_STEPS = 3
MIN_LR = 1e-4


def run_steps(setting: Setting) -> Iterator[Row]:
    """Time a training step of each network, repeat a training, and continue it from its saved state."""
    torch.manual_seed(0)
    for name, build in list_networks(setting):
        yield from continue_after_crash(SECTION, name, _network_rows(setting, build))


def _network_rows(setting: Setting, build: Callable[[], NetworkCase]) -> Iterator[Row]:
    case = build()
    for precision in case.precisions:
        subject = f"{case.name}, {precision}"
        training = Training(setting, case, precision)
        if setting.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = setting.seconds(partial(training.step, 0))
        yield Row(SECTION, subject, "training", 1 / seconds, "steps/s")
        if setting.device.type == "cuda":
            yield Row(SECTION, subject, "memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")
    first, repeated, continued = (_trained_weights(setting, case, has_pause=pause) for pause in (False, False, True))
    is_repeatable = _are_equal(first, repeated)
    note = "" if is_repeatable else " (so does the repeated training)"
    differs = not _are_equal(first, continued)
    yield Row(SECTION, case.name, "repeated training differs", float(not is_repeatable), "(0 or 1)")
    passed = not (differs and is_repeatable)
    yield Row(SECTION, case.name, f"continued training differs{note}", float(differs), "(0 or 1)", "0", passed=passed)


class Training:
    """A network in training on the device.

    Args:
        setting: with the device.
        case: the network, which is copied.
        precision: number format of the layers.
    """

    def __init__(self, setting: Setting, case: NetworkCase, precision: Precision = "float32") -> None:
        self.device, self.case, self.precision = setting.device, case, precision
        self.network: nn.Module = copy.deepcopy(case.network).to(setting.device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=MIN_LR)
        self.inputs = to_device(case.inputs, setting.device)

    def step(self, seed: int) -> None:
        """Run one step."""
        self.optimizer.zero_grad(set_to_none=True)
        with same_draws(seed), autocast(self.device, self.precision):
            loss = self.case.objective(self.network, self.inputs)[1]
        loss.float().backward()
        self.optimizer.step()

    def save(self) -> io.BytesIO:
        """Return the state as a file."""
        file = io.BytesIO()
        torch.save({"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}, file)
        file.seek(0)
        return file

    def load(self, file: io.BytesIO) -> None:
        """Read a state."""
        state = torch.load(file, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def _trained_weights(setting: Setting, case: NetworkCase, *, has_pause: bool) -> dict[str, torch.Tensor]:
    """Train for some steps, with a new network that reads the state after the first step if there is a pause."""
    training = Training(setting, case)
    for step in range(NUM_STEPS):
        if step == 1 and has_pause:
            file = training.save()
            training = Training(setting, case)
            training.load(file)
        training.step(step)
    return {name: value.cpu() for name, value in training.network.state_dict().items()}


def _are_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())

r"""Check and time every network on a GPU: agreement with the CPU, speed, exact resume, several processes.

    python benchmarks/gpu.py --json gpu.json                     # on a GPU: about 7 minutes
    python benchmarks/gpu.py --device cpu --json cpu.json        # small sizes, to test the script itself

Input: the corpus, the concepts and the re-encoded videos of a finished demo (`make demo`), below `--demo`. Only the
section `resume` and the pass of VGGish need them.
Output: a table, the same as JSON, and rows for the table of benchmarks/README.md. The exit status is 1 if a check
fails; a speed that misses its aim does not count as a failure.

Sections (`--only` selects some):
    agreement   outputs, losses and gradients of each network: CPU in float32 against the device in float32 and bfloat16
    resume      pretraining that is repeated, killed and continued, or run by torchrun: the weights must be equal
    steps       training steps of every captioner, proposer, localizer and of the two-channel network, repeated and
                continued from a saved state
    step        a training step of R(2+1)D-34: time, memory, share of the device's bfloat16 peak; with torch.compile
    input       the loader alone by its number of workers; the same step with clips that are decoded at the same time
    extractors  decoding; speed of each extractor's network, and of a pass over video files with decoding
    captions    steps per second of the captioner, of SCST (its reward is a constant) and of BMN; captions per second
"""

import argparse
import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.threads import count_cores
from pipeline.training.device import resolve_device

import torch
from gpu_agreement import run_agreement
from gpu_common import Row, Setting
from gpu_repeatability import run_resume
from gpu_speed import run_captions, run_extractors, run_input, run_step
from gpu_training import run_steps

SECTIONS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "agreement": run_agreement,
    "resume": run_resume,
    "steps": run_steps,
    "step": run_step,
    "input": run_input,
    "extractors": run_extractors,
    "captions": run_captions,
}


def describe_machine(device: torch.device) -> str:
    """Describe the device, the cores and the version of PyTorch."""
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{card}, {count_cores()} cores, PyTorch {torch.__version__}"


def markdown_rows(rows: Sequence[Row], machine: str) -> Iterator[str]:
    """Yield rows for the table of benchmarks/README.md: one per subject, or per number format of `agreement`."""
    figures: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        subject = row.subject
        if row.section == "agreement":
            subject = f"CPU in float32 against the device in {row.subject.rpartition(', ')[2]}: the largest error"
        of_subject = figures.setdefault((row.section, subject), {})
        if row.figure not in of_subject or row.value > of_subject[row.figure].value:
            of_subject[row.figure] = row
    for (section, subject), of_subject in figures.items():
        aims = "; ".join(f"{figure} {row.aim}" for figure, row in of_subject.items() if row.aim)
        values = "; ".join(f"{figure} {row.value:,.4g} {row.unit}" for figure, row in of_subject.items())
        yield f"| `gpu.py --only {section}` | {subject} | {aims} | {values} | {machine} |"


def print_row(row: Row) -> None:
    """Print one line of the table."""
    name = f"{row.subject}: {row.figure}"
    mark = "" if row.passed else "   FAILED"
    print(f"{row.section:11}{name:80}{row.value:12.4g} {row.unit:15}{row.aim}{mark}", flush=True)


def main() -> int:
    """Run the sections and print their rows; return 1 if a check fails."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="device to test")
    arguments.add_argument("--demo", type=Path, default=Path("results/demo"), help="results of a finished demo")
    arguments.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), help="sections")
    arguments.add_argument("--json", type=Path, help="file to write")
    args = arguments.parse_args()
    device = resolve_device(args.device)
    machine = describe_machine(device)
    print(machine, flush=True)
    rows: list[Row] = []
    crashes: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(device, args.demo, Path(folder))
        for name in args.only:
            start = time.perf_counter()
            try:
                for row in SECTIONS[name](setting):
                    rows.append(row)
                    print_row(row)
            except Exception as error:  # one section must not hide the others
                traceback.print_exc()
                crashes[name] = f"{type(error).__name__}: {error}"
                print(f"{name}: CRASHED: {crashes[name]}", flush=True)
            seconds[name] = round(time.perf_counter() - start, 1)
            print(f"{name}: {seconds[name]:.0f} s", flush=True)
            if args.json:
                data = {"machine": machine, "rows": [asdict(row) for row in rows], "crashes": crashes}
                args.json.write_text(json.dumps({**data, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")
    print("\n".join(["", *markdown_rows(rows, machine)]), flush=True)
    return 1 if crashes or not all(row.passed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

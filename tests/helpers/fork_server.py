"""Runs modules in forks of one process that has imported what they import.

A new process needs 2 s to import PyTorch or snakemake, and a small test needs nothing else. A fork has its own folder,
command line, environment and output. It then runs what `python -m MODULE` runs. Two ways lead to the server:

    forked_snakemake    runs snakemake itself
    fork_environment    lets processes that are started with its variables run snakemake, commands and stages in forks:
                        fork_site/sitecustomize.py hands them over

All workers of a test run use the server of the process that started them.

Forks cannot be killed through the process that asked for them, and do not use the time of that process. Tests of kills
and of benchmarks start processes of their own.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from helpers.fork_site.fork_client import SERVER, run_in_fork
from pipeline.provenance.jobs import LOGGER_FOLDER

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).parent / "fork_site"

STARTERS = ("snakemake", "pipeline.commands")
"""Modules that need the imports of snakemake. What they start runs in forks too, as far as the variables are set."""


def forked_snakemake(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run snakemake in a folder that has no code of its own.

    Args:
        folder: the folder.
        words: the command line.
        environment: environment variables to set.

    Returns:
        status and output; `stdout` holds all output.
    """
    assert not (folder / "pipeline").exists(), "a fork runs the code that the server has imported"
    with tempfile.TemporaryFile("w+") as output, Path(os.devnull).open() as nothing:
        streams = [nothing.fileno(), output.fileno(), output.fileno()]
        variables = {**os.environ, **environment}
        status = run_in_fork(
            start_server(), "snakemake", list(words), folder=str(folder), environment=variables, streams=streams
        )
        output.seek(0)
        return subprocess.CompletedProcess(words, status, output.read())


def fork_environment() -> dict[str, str]:
    """Return the variables that let `python -m snakemake` and `python -m pipeline.NAME` run in forks."""
    path = os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")]))
    return {SERVER: start_server(), "PYTHONPATH": path}


_shared: list[str] = []


def use_server(path: str) -> None:
    """Let this process use a server that another process has started."""
    _shared.append(path)


@cache
def start_server() -> str:
    """Start a server that ends with this process, unless `use_server` named one; return the path of its socket."""
    if _shared:
        return _shared[0]
    folder = tempfile.TemporaryDirectory(prefix="forks")
    path = f"{folder.name}/socket"
    server = subprocess.Popen(
        [sys.executable, "-m", "helpers.fork_server", path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "tests", LOGGER_FOLDER]))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(folder.cleanup)
    atexit.register(server.communicate)
    assert server.stdout
    server.stdout.readline()  # it listens
    return path


@cache
def preload(kind: str) -> None:
    """Import what a module imports, and hash the code of all stages, which snakemake and every stage do.

    Args:
        kind: "snakemake" or "stages".
    """
    from pipeline.config.load import stages
    from pipeline.provenance.code_hash import code_hash

    for stage in stages():
        code_hash(f"pipeline.{stage}")
    if kind == "snakemake":
        importlib.import_module("pipeline.monitor.handler")
        importlib.import_module("snakemake.cli").get_argument_parser()  # imports the plugins
    else:
        for stage in stages():
            with contextlib.suppress(Exception):  # an error in its code; it appears when the stage runs
                importlib.import_module(f"pipeline.{stage}")
    gc.freeze()  # memory that the garbage collector does not visit is not copied in forks


class Request(NamedTuple):
    """What a fork runs.

    Attributes:
        streams: descriptors of standard input, output and error.
        module: the module.
        words: its command line.
        folder: working folder.
        environment: environment variables.
    """

    streams: list[int]
    module: str
    words: list[str]
    folder: str
    environment: dict[str, str]


def receive(connection: socket.socket) -> Request:
    """Receive the request of a client."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile() as file:
        return Request(streams, *json.loads(file.read()))


def serve(path: str) -> None:
    """Answer requests until standard input ends; returns in a fork when its module has ended.

    The end of a fork is a signal, which becomes a byte in a pipe.
    """
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    clients: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("listening", flush=True)
        sources = {listener, sys.stdin, awake}
        while clients or sys.stdin in sources:
            ready = select.select(list(sources), [], [])[0]
            if sys.stdin in ready:
                sources -= {sys.stdin, listener}
            if awake in ready:
                os.read(awake, 1024)
                answer_clients(clients)
            if listener in ready:
                client, _ = listener.accept()
                request = receive(client)
                preload("snakemake" if request.module in STARTERS else "stages")
                process = os.fork()
                if process == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for connection in (listener, client, *clients.values()):
                        connection.close()
                    return run(request)
                clients[process] = client
                for stream in request.streams:
                    os.close(stream)
    return None


def answer_clients(clients: dict[int, socket.socket]) -> None:
    """Send the status of each fork that has ended to its client, and forget both.

    Args:
        clients: process id of a fork -> connection to the client that waits for its end.
    """
    with contextlib.suppress(ChildProcessError):
        while (end := os.waitpid(-1, os.WNOHANG))[0]:
            process, status = end
            with clients.pop(process) as client, contextlib.suppress(BrokenPipeError):  # the client was killed
                client.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def run(request: Request) -> None:
    """Turn this process into one that was started as `python -m module words`."""
    for descriptor, stream in enumerate(request.streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    if "torch" in sys.modules and "OMP_NUM_THREADS" in os.environ:
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # The first folder is that in which the server was started; `python -m` has the working folder there.
    sys.path[:1] = [request.folder, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[1:] = request.words
    if request.module not in STARTERS:
        os.environ.pop(SERVER, None)  # what the stage starts are processes
    if request.module != "snakemake":
        sys.modules.pop(request.module, None)  # the stage itself runs as `__main__`
    end = {"status": 1}
    atexit.register(lambda: leave(end["status"]))
    try:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
        end["status"] = 0
    except SystemExit as error:
        end["status"] = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise


def leave(status: int) -> None:
    """End this process after everything else that runs at its end, but free no memory: it would be copied first."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])

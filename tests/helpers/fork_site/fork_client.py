"""Asks a fork server to run a module; see helpers/fork_server.py."""

import json
import os
import socket
from pathlib import Path

SERVER = "FORK_SERVER"
"""Environment variable with the path of the server's socket."""
TIMEOUT_S = 900


def run_in_fork(
    server: str, module: str, words: list[str], *, folder: str, environment: dict[str, str], streams: list[int]
) -> int:
    """Run `python -m module words` in a fork of a server, and return its status.

    Args:
        server: path of the server's socket.
        module: the module.
        words: its command line.
        folder: working folder.
        environment: environment variables.
        streams: descriptors of standard input, output and error.

    Raises:
        TimeoutError: the module does not end.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(server)
        socket.send_fds(connection, [b"."], streams)
        connection.sendall(json.dumps([module, words, folder, environment]).encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile() as answer:
            return int(answer.read())


def run_this_process_in_fork(server: str, module: str, words: list[str]) -> int:
    """Run in a fork what this process was started for, and return its status."""
    return run_in_fork(server, module, words, folder=str(Path.cwd()), environment=dict(os.environ), streams=[0, 1, 2])

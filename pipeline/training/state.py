"""Training state that outlives the job: what is needed to go on after a crash, as if nothing had happened.

The state stands beside the outputs of a rule, not among them, because Snakemake deletes outputs before it runs a rule
again. It is written atomically after each epoch; together with seeds derived per epoch that makes a resumed run
equal, bit for bit on one device, to an undisturbed one.
"""

from pathlib import Path
from typing import Any

import torch

from pipeline.config.errors import PipelineError
from pipeline.store.atomic import read_json, replacing, write_json


class TrainingState:
    """The state folder of one training job.

    Args:
        folder: where the state stands; made when first written.
        identity: what the run depends on (config digest, code stamp, sha256 of the inputs). State left by a run of
            another identity is removed, never resumed.

    Raises:
        PipelineError: the folder holds files that are no training state.
    """

    def __init__(self, folder: Path, identity: dict[str, str]) -> None:
        self.folder = folder
        self._file = folder / "state.pt"
        identity_file = folder / "identity.json"
        if not identity_file.is_file() and folder.is_dir() and any(folder.iterdir()):
            raise PipelineError(f"--state {folder}: holds other files; give a folder that is empty or not there yet")
        if not (identity_file.is_file() and read_json(identity_file) == identity):
            self.clear()
            write_json(identity_file, identity)

    def load(self) -> dict[str, Any] | None:
        """The newest state, or None where nothing was saved yet."""
        if not self._file.is_file():
            return None
        state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state; `state` holds tensors and plain data only."""
        with replacing(self._file) as temporary:
            torch.save(state, temporary)

    def clear(self) -> None:
        """Remove the state, once the outputs are written; of the folder, nothing that is not the state's."""
        for path in (self._file, self.folder / "identity.json"):
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

"""Read a victim that was made elsewhere, in any of the forms that are known."""

from pathlib import Path

from bench.checkpoint import read as checkpoints
from bench.errors import RequestError
from bench.imported import backdoorbench, described
from bench.imported.pictures import shown
from bench.imported.victim_file import VictimFile


def read(path: Path) -> VictimFile:
    """The victim in a file: BackdoorBench's ``attack_result.pt``, or our own description as TOML.

    The weights are read, the pictures are not. Raises RequestError, in one line, for anything else.
    """
    if path.suffix.lower() == ".toml":
        return described.victim(path)
    checkpoint = checkpoints.read(path)
    if not backdoorbench.is_one(checkpoint):
        raise RequestError(
            f"victim {shown(path)}: holds a network and no triggered images: expected BackdoorBench's "
            "attack_result.pt, or a TOML file that names a checkpoint and its triggered images (docs/victims.md)"
        )
    return backdoorbench.victim(checkpoint)

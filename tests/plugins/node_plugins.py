"""Defenses that say where they run, for tests of a cluster."""

import os
import time
from pathlib import Path
from typing import ClassVar

from bench.plugin import Repair


class Where(Repair):
    """Notes which GPU Ray gave its worker."""

    name: ClassVar[str] = "where"
    n: int = 0

    def repair(self, model, known, context):
        context.note("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
        time.sleep(0.3)
        return model


class Stay(Repair):
    """Waits to be killed, the first time that it meets a worker without a GPU."""

    name: ClassVar[str] = "stay"
    n: int = 0

    def repair(self, model, known, context):
        context.note("gpus", os.environ.get("CUDA_VISIBLE_DEVICES"))
        if not os.environ.get("CUDA_VISIBLE_DEVICES"):
            try:
                Path(os.environ["TINY_LOG"]).with_name("stays").touch(exist_ok=False)
            except FileExistsError:
                return model
            time.sleep(600)
        time.sleep(0.5)
        return model

"""Planning, resuming and reporting 10,000 cells that the store holds already: seconds and memory.

    python benchmarks/stored.py [cells]

First a store is made, of records with invented figures under the true keys of 20 attacks, 20 defenses and 25 seeds.
Then each command runs three times in a process of its own. Seconds are medians and include the interpreter's start and
imports. "peak" is the largest resident set, which counts every page of a library that was touched. "private" is what
belongs to the process alone (anonymous memory). Both are sampled in a fourth run, from Linux' /proc. The limits are for
seconds and peak. Planning needs the plugins' classes, and they need torch: the first line is ``import torch`` alone.
"""

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.api import data_folder, open_registry
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.plan.stages import CellStage
from bench.provenance import packages
from bench.records import Record
from bench.store.store import Store

ATTACKS, DEFENSES = 20, 20
LIMIT_SECONDS, LIMIT_MB = 5, 500
RUNS = 3
SAMPLES = 0.01  # seconds between two looks at a process's memory
SHARES = ("acc", "asr", "ra", "der", "acc_target", "acc_before", "ra_before", "acc_target_before")
COSTS = ("train_seconds", "defense_seconds", "inference_seconds", "ms_per_sample", "ms_per_sample_before")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    registry = open_registry()
    attacks, defenses = (
        ",".join([entry.name for entry in registry.entries(kind)][:most])
        for kind, most in (("attack", ATTACKS), ("defense", DEFENSES))
    )
    seeds = range(max(1, count // (ATTACKS * DEFENSES)))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        request = Request(attacks=attacks, defenses=defenses, seeds=seeds)
        plan = make_plan(request, registry, data_folder(None))
        for cell in plan.cells:
            store.write("cells", cell.key, {"record.json": invented(cell).model_dump_json(indent=1)}, durable=False)
        print(f"{len(plan.cells):,} cells in the store")
        asked = ["--attacks", attacks, "--defenses", defenses, "--seeds", ",".join(map(str, seeds))]
        location = ["--store", str(store.root)]
        for name, arguments in {
            "(import torch)": ["-c", "import torch"],
            "plan": ["-m", "bench", "plan", *asked, *location],
            "run, nothing to do": ["-m", "bench", "run", *asked, *location],
            "report": ["-m", "bench", "report", *location, "--out", str(Path(folder) / "report")],
        }.items():
            seconds = median(timed(*arguments) for _ in range(RUNS))
            peak, private = memory(*arguments)
            over = [f"over {LIMIT_SECONDS} s"] * (seconds > LIMIT_SECONDS) + [f"over {LIMIT_MB} MB"] * (peak > LIMIT_MB)
            verdict = "" if name.startswith("(") else ", ".join(over).upper() or "within"
            print(f"{name:20s} {seconds:6.2f} s  peak {peak:5.0f} MB  private {private:5.0f} MB  {verdict}")


def invented(cell: CellStage) -> Record:
    """A record as long as a real one."""
    draw, now = random.Random(cell.key), datetime.now(UTC).isoformat(timespec="seconds")
    figures: dict[str, Any] = {name: draw.random() for name in SHARES} | {name: 9 * draw.random() for name in COSTS}
    figures |= {"asr_before": 0.99, "psnr": 30.0, "ssim": 0.97, "l0": 9.0, "l2": 2.0, "linf": 1.0, "acc_before": 0.95}
    counts = {"n_train": 4000, "n_poisoned": 400, "n_test": 1000, "n_triggered": 900, "threads": 1}
    origin = {"device": "cpu", "code_version": "0.1.0", "commit": "0" * 40, "packages": json.dumps(packages())}
    diagnostics = json.dumps({"values": [draw.random() for _ in range(20)]})
    return Record(
        **cell.columns,
        **figures,
        **counts,
        **origin,
        status="done",
        started=now,
        finished=now,
        diagnostics=diagnostics,
    )


def timed(*arguments: str) -> float:
    """Seconds of a run of Python with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def memory(*arguments: str) -> tuple[float, float]:
    """Peak and private megabytes of another run.

    getrusage would not do: on Linux its peak begins with what the parent had when it started the child.
    """
    peak, private = math.nan, math.nan
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            lines = (line.split() for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
            sizes = {line[0]: int(line[1]) / 1024 for line in lines if line and line[0] in ("VmHWM:", "RssAnon:")}
            if sizes:  # none for a process that has just ended
                peak, private = sizes["VmHWM:"], max(sizes["RssAnon:"], 0 if math.isnan(private) else private)
            time.sleep(SAMPLES)
    return peak, private


if __name__ == "__main__":
    main()

"""Planning, resuming and reporting 10,000 cells that the store holds already: seconds and peak memory.

    python benchmarks/stored.py [cells]

The store is made first, with records of invented figures under the true keys of 20 attacks, 20 defenses and 25 seeds;
then each command runs three times in a process of its own. Seconds are medians, interpreter and imports included.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.api import data_folder, open_registry, plan_of
from bench.records import Record
from bench.stages import describe
from bench.store import Store

ATTACKS, DEFENSES = 20, 20
LIMIT_SECONDS, LIMIT_MB = 5, 500
RUNS = 3


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
        plan = plan_of(registry, data_folder(None), attacks=attacks, defenses=defenses, seeds=seeds)
        for cell in plan.cells:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            figures = {"acc": 0.9, "asr": 0.1, "ra": 0.8, "der": 0.9, "acc_before": 0.95, "asr_before": 0.99}
            record = Record(**describe(cell), **figures, status="done", valid=True, started=now, finished=now)
            store.write("cells", cell.key, {"record.json": record.model_dump_json(indent=1)}, durable=False)
        print(f"{len(plan.cells):,} cells in the store")
        print("{:20s} {:6.2f} s  {:6.0f} MB".format("(import torch)", *timed("-c", "import torch")))
        asked = ["--attacks", attacks, "--defenses", defenses, "--seeds", ",".join(map(str, seeds))]
        kept = ["--store", str(store.root)]
        for name, arguments in {
            "plan": ["plan", *asked, *kept],
            "run, nothing to do": ["run", *asked, *kept],
            "report": ["report", *kept, "--out", str(Path(folder) / "report")],
        }.items():
            runs = [timed("-m", "bench", *arguments) for _ in range(RUNS)]
            seconds, peak = median(run[0] for run in runs), max(run[1] for run in runs)
            within = "within" if seconds < LIMIT_SECONDS and peak < LIMIT_MB else "OVER"
            print(f"{name:20s} {seconds:6.2f} s  {peak:6.0f} MB  {within}")


def timed(*arguments: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a run of the interpreter."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments[:3])} ended with status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()

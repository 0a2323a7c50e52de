"""What scheduling costs.

    python benchmarks/scheduling.py overhead [executor:workers ...]    default: inline:1 local:1 local:2
    python benchmarks/scheduling.py finished [cells]                   default: 1000
    python benchmarks/scheduling.py throughput [repetitions]           default: 1

overhead: time from the start of a stage to the start of the next in the same slot, less what the stage itself took, of
stages that do next to nothing; the limit is a median of 50 ms. finished: seconds of a run whose cells the store holds
already, without imports; the limit is 2 s. throughput: some stages of the quick profile by two workers of one thread,
and by one worker of two threads.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import bench
from bench.api import data_folder, open_registry
from bench.engine.display import Silent
from bench.engine.executor import Outcome
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.plan.stages import Stage
from bench.records import Record
from bench.store.store import Store

PLUGINS = Path(__file__).parent / "plugins" / "trivial.py"
LIMIT_MS, LIMIT_SECONDS = 50, 2
CASES = ("inline:1", "local:1", "local:2")
QUICK = {"attacks": "badnets,blend", "defenses": "none,fine_pruning,ft,clp,strip,bnp"}


class Gaps(Silent):
    """A listener that collects the overheads, in seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._began: dict[int, float] = {}
        self._took: dict[int, float] = {}

    def started(self, slot: int, stage: Stage) -> None:
        now = time.perf_counter()
        if slot in self._took:
            self.seconds.append(now - self._began[slot] - self._took.pop(slot))
        self._began[slot] = now

    def ended(self, outcome: Outcome) -> None:
        if outcome.slot in self._began:
            self._took[outcome.slot] = outcome.seconds


def overhead(cases: list[str]) -> None:
    """Print the overhead of each executor and number of workers."""
    for case in cases or CASES:
        executor, _, workers = case.partition(":")
        gaps = Gaps()
        with tempfile.TemporaryDirectory() as folder:
            results = bench.run(
                datasets="specks",
                models="linear",
                attacks="brighten[n=0|1|2|3|4]",
                defenses=f"nothing[n={'|'.join(map(str, range(40)))}]",
                reference=4,
                suspects=4,
                plugin=[PLUGINS],
                store=Path(folder) / "store",
                executor=executor,
                workers=int(workers or 1),
                listener=gaps,
            )
        if not results.ok:
            raise SystemExit(results.records[0].reason)
        milliseconds = [1000 * gap for gap in gaps.seconds]
        within = "within" if median(milliseconds) < LIMIT_MS else "OVER"
        late = quantiles(milliseconds, n=20)[-1]
        times = f"median {median(milliseconds):6.1f} ms  95 % {late:6.1f} ms"
        print(f"{case:10s} {len(milliseconds):4d} stages  {times}  {within}")


FINISHED = """
import sys, time
from pathlib import Path
import bench, bench.api, bench.engine.worker, bench.plan.refresh, bench.engine.outstanding, bench.engine.scheduler
attacks, defenses, seeds, store = sys.argv[1:]
registry = bench.api.open_registry()
for kind, names in (("attack", attacks), ("defense", defenses), ("dataset", "mnist5k"), ("model", "resnet18")):
    for name in names.split(","):
        registry.load(kind, name)
begin = time.perf_counter()
results = bench.run(attacks=attacks, defenses=defenses, seeds=range(int(seeds)), store=store)
seconds = time.perf_counter() - begin
assert results.ok
print(len(results.records), seconds)
"""


def finished(cells: int) -> None:
    """Print how long a run with nothing to do takes: the median of three, each in a process of its own."""
    registry = open_registry()
    attacks, defenses = (
        ",".join([entry.name for entry in registry.entries(kind)][:10]) for kind in ("attack", "defense")
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        seeds = max(1, cells // 100)
        request = Request(attacks=attacks, defenses=defenses, seeds=range(seeds))
        for cell in make_plan(request, registry, data_folder(None)).cells:
            record = Record(**cell.columns, status="done", acc=0.9, asr=0.1, valid=True)
            store.write("cells", cell.key, {"record.json": record.model_dump_json(indent=1)})
        words = [sys.executable, "-c", FINISHED, attacks, defenses, str(seeds), str(store.root)]
        runs = [subprocess.run(words, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
    seconds = median(float(run[1]) for run in runs)
    print(f"{int(runs[0][0]):,} finished cells  {seconds:.2f} s  {'within' if seconds < LIMIT_SECONDS else 'OVER'}")


def throughput(repetitions: int) -> None:
    """Print how many stages an hour both ways compute."""
    for _ in range(repetitions):
        for workers, threads in ((2, 1), (1, 2)):
            with tempfile.TemporaryDirectory() as folder:
                gaps, began = Gaps(), time.perf_counter()
                results = bench.run(**QUICK, workers=workers, threads=threads, store=Path(folder) / "s", listener=gaps)
                seconds = time.perf_counter() - began
            if not results.ok:
                raise SystemExit(next(record.reason for record in results.records if record.status == "failed"))
            stages = len(results.records) + len({record.victim_key for record in results.records})
            rate = 3600 * stages / seconds
            print(f"{workers} workers of {threads} threads: {stages} stages in {seconds:.0f} s, {rate:.0f} an hour")


def main() -> None:
    match sys.argv[1:]:
        case ["overhead", *cases]:
            overhead(cases)
        case ["finished", *cells]:
            finished(int(cells[0]) if cells else 1000)
        case ["throughput", *repetitions]:
            throughput(int(repetitions[0]) if repetitions else 1)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()

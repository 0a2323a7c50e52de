"""What it costs that every stage is checked when it is read, and survives a power cut once it is written.

    python benchmarks/integrity.py [directory]

First the milliseconds to write a stage, with and without waiting for the disk of ``directory`` (default: that of
temporary files), as medians of 20. Then the processor time to read 10,000 records and a ResNet-18, with and without
comparing their hashes.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from bench.plan import identity
from bench.store.store import Section, Store

RECORDS, REPEATED, READ = 10_000, 20, 5
RECORD = json.dumps({f"column {number}": "x" * 40 for number in range(60)})


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        store = Store(Path(folder) / "store")
        predictions = {f"{part}_logits": torch.rand(1000, 10) for part in ("clean", "triggered")}
        victim = {"stage.json": {}, "predictions.safetensors": predictions, "learned.safetensors": {}}
        stages: dict[str, dict[str, object]] = {
            "a cell": {"record.json": RECORD, "predictions.safetensors": predictions},
            "a victim of 3 MB": {**victim, "model.safetensors": {"w": torch.rand(750_000)}},
            "a victim of 45 MB": {**victim, "model.safetensors": {"w": torch.rand(11_200_000)}},
        }
        for name, content in stages.items():
            clock = {durable: milliseconds(store, content, durable) for durable in (True, False)}
            print(f"{name:20s} {clock[True]:6.1f} ms on the disk, {clock[False]:6.1f} ms without waiting for it")
        for number in range(RECORDS):
            store.write("cells", key(number), {"record.json": RECORD}, durable=False)
        keys = [key(number) for number in range(RECORDS)]
        compare("10,000 records", store, "cells", keys, "record.json")
        store.write("victims", key(0), stages["a victim of 45 MB"], durable=False)
        compare("a model of 45 MB", store, "victims", [key(0)], "model.safetensors")


def compare(what: str, store: Store, section: Section, keys: list[str], name: str) -> None:
    """Print how long it takes to read the file ``name`` of each stage, checked and unchecked."""
    checked = spent(lambda: [store.read(section, one, name) for one in keys])
    paths = [store.folder(section, one) / name for one in keys]
    plain = spent(lambda: [path.read_bytes() for path in paths])
    print(f"{what:20s} {checked:6.3f} s checked, {plain:6.3f} s unchecked")


def milliseconds(store: Store, content: dict[str, object], durable: bool) -> float:
    """Milliseconds of the clock to write a stage, without its removal."""
    seconds = []
    for number in range(REPEATED):
        began = time.perf_counter()
        store.write("cells", key(number), content, durable=durable)
        seconds.append(time.perf_counter() - began)
        store.forget("cells", key(number))
    return 1000 * median(seconds)


def spent(action: Callable[[], object]) -> float:
    """Seconds of the processor: the least of some tries, as the machine may be busy."""
    seconds = []
    for _ in range(READ):
        began = time.process_time()
        action()
        seconds.append(time.process_time() - began)
    return min(seconds)


def key(number: int) -> str:
    return identity.key("benchmark", number=number)


if __name__ == "__main__":
    main()

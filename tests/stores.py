"""For tests of stores: stages with invented results, damage to them, and the command line on them."""

import pytest
import torch

from bench.cli.main import main
from bench.records import Record
from bench.store.store import Store

SELECTED = {
    "datasets": "digits[train_size=200]",
    "models": "resnet18[width=4]",
    "attacks": "badnets,blend",
    "defenses": "none,clp",
    "seeds": "0",
    "reference": "40",
}
OPTIONS = [part for name, value in SELECTED.items() for part in (f"--{name}", value)]


def put(store: Store, cell, status="done", value=0.0, acc=0.5) -> None:
    """Store a cell with invented results, or its failure."""
    record = Record(**cell.columns, status=status, acc=acc).model_dump_json()
    if status in ("failed", "timeout"):
        store.write("failures", cell.key, {"record.json": record, "traceback.txt": "…"})
    else:
        predictions = {"clean_logits": torch.full((2, 2), value)}
        store.write("cells", cell.key, {"record.json": record, "predictions.safetensors": predictions})


def train(store: Store, victim, value=0.0, seconds=1) -> None:
    """Store a victim with invented weights."""
    model = {"weight": torch.full((2, 2), value)}
    store.write("victims", victim.key, {"model.safetensors": model, "stage.json": {"train_seconds": seconds}})


def spoil(store: Store, section: str, key: str, name: str) -> None:
    """Flip a bit of a stored file."""
    path = store.folder(section, key) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def bench(capsys, *arguments) -> tuple[int, str, str]:
    """Run a command: its exit status, and what it prints to stdout and stderr."""
    with pytest.raises(SystemExit) as caught:
        main([str(part) for part in arguments])
    return caught.value.code, *capsys.readouterr()

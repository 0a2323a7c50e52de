"""For tests of stores: stages with invented results, damage to them, and the command line on them."""

import pytest
import torch

from bench.cli.main import main
from bench.plan import identity
from bench.records import Record
from bench.store.store import Store

ABCD, EF01, AB12, AB34, AA11, BB22, BEEF = (
    four * 8 for four in ("abcd", "ef01", "ab12", "ab34", "aa11", "bb22", "beef")
)  # keys
SELECTED = {
    "datasets": "digits[train_size=200]",
    "models": "resnet18[width=4]",
    "attacks": "badnets,blend",
    "defenses": "none,clp",
    "seeds": "0",
    "reference": "40",
}
FACTS = {
    **{"train_seconds": 1.0, "ms_per_sample": 0.5, "n_train": 4, "n_poisoned": 1, "n_cover": 0, "n_test": 2},
    **{"n_triggered": 1, "targets": [0], "log": "", "fingerprints": {}},
    "stealth": {"psnr": 30.0, "ssim": 0.9, "l0": 1.0, "l2": 0.1, "linf": 0.5},
}  # of a victim, as stage.json has them
OPTIONS = [part for name, value in SELECTED.items() for part in (f"--{name}", value)]


def put(store: Store, cell, status="done", value=0.0, acc=0.5, **columns) -> None:
    """Store a cell with invented results, or its failure."""
    record = Record(**cell.columns, status=status, acc=acc, **columns).model_dump_json()
    if status in ("failed", "timeout"):
        store.write("failures", cell.key, {"record.json": record, "traceback.txt": "…"})
    else:
        predictions = {f"{part}_logits": torch.full((2, 2), value) for part in ("clean", "triggered")}
        store.write("cells", cell.key, {"record.json": record, "predictions.safetensors": predictions})


def train(store: Store, victim, value=0.0, seconds=1, **facts) -> None:
    """Store a victim with invented weights."""
    logits = {f"{part}_logits": torch.full((2, 2), value) for part in ("clean", "triggered")}
    labels = {"labels": torch.tensor([0, 1]), "targets": torch.tensor([0, 0])}
    pictures = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    content = {
        "model.safetensors": {"weight": torch.full((2, 2), value)},
        "learned.safetensors": {},
        "predictions.safetensors": logits | labels,
        "pictures.safetensors": {"clean": pictures, "triggered": pictures},
        "stage.json": {**FACTS, "train_seconds": seconds, **facts},
    }
    store.write("victims", victim.key, content)


def show(store: Store, victim: str, benign: str, asr: float = 0.1, **facts) -> str:
    """Store what a benign network answers to a victim's triggers, from both keys; the key of it."""
    content = {
        "predictions.safetensors": {"triggered_logits": torch.zeros(2, 2)},
        "natural.json": {"victim": victim, "benign": benign, "asr": asr, "n_test": 2, **facts},
    }
    store.write("natural", key := identity.natural_key(victim, benign), content)
    return key


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

"""The poisoned training images of a victim, as pictures: poisoned again by its key, and compared with what it saw."""

import csv
import json
from pathlib import Path
from typing import cast

from bench.cell.loaded import LoadedVictim
from bench.cell.made_of import training_digest
from bench.cell.victim import poison
from bench.cell.workshop import Workshop
from bench.errors import RequestError
from bench.export.metadata import metadata
from bench.export.new_files import new_directory
from bench.export.origin import origin
from bench.export.sources import Source
from bench.plugin import mapped
from bench.plugin.dataset import Dataset
from bench.plugin.values import LabelledImages, Poisoned
from bench.records import LogLines

TABLE, ABOUT = "images.csv", "about.json"
COLUMNS = ("file", "index", "label", "original_label", "poisoned", "cover")


def export_poisoned(source: Source, folder: Path, workshop: Workshop) -> int:
    """Write every training image that the attack has changed to ``folder``, which is new, as PNG; return how many.

    ``images.csv`` has a row for each: its file, its index in the training images of the data set, the label that it was
    trained with and its own, and whether it is poisoned or a cover image. ``about.json`` says which victim it is.
    Raises RequestError, and nothing is written, where the images cannot be had again as the victim was trained on them.
    """
    victim, made = source.victim, origin(source)
    stage = made.stage(workshop.registry, source.victim_key)
    dataset = cast(Dataset, made.plugin("dataset", workshop.registry))
    with workshop.registry.asking("dataset", dataset.name, "prepare"):
        dataset.prepare(workshop.data)
    loaded = LoadedVictim.open(stage, workshop)
    _, poisoned = poison(loaded, LogLines())
    _check(source, poisoned, str(workshop.device))
    changed = (poisoned.poisoned | poisoned.cover).nonzero()[:, 0].tolist()
    if not changed:
        raise RequestError(
            f"export {source.key[:12]}: {made.labels['attack']} has changed no training image: nothing to write"
        )
    with new_directory(folder) as draft:
        _write(draft, changed, poisoned, loaded.train)
        (draft / ABOUT).write_text(json.dumps(metadata(victim, made), indent=1, sort_keys=True) + "\n")
    return len(changed)


def _check(source: Source, poisoned: Poisoned, device: str) -> None:
    """Raise RequestError unless this is what the victim was trained on, as far as its folder says so."""
    facts, counts = source.facts, (int(poisoned.poisoned.sum()), int(poisoned.cover.sum()))
    same = facts.training_sha256 in (None, training_digest(poisoned)) and counts == (facts.n_poisoned, facts.n_cover)
    if not same:
        maker = source.victim.maker
        raise RequestError(
            f"export {source.key[:12]}: poisoned again on {device}, the training images are not those of the victim, "
            f"which was made on {maker.get('device') or 'another device'} by version {maker.get('code_version')}; "
            "expected the same kind of device (--device) and the same code"
        )


def _write(folder: Path, changed: list[int], poisoned: Poisoned, clean: LabelledImages) -> None:
    import torch
    from PIL import Image

    with (folder / TABLE).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for index in changed:
            name = f"{index:06d}.png"
            image = mapped.rows(poisoned.data.images, torch.tensor([index]))[0].cpu().permute(1, 2, 0).numpy()
            Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(folder / name)
            labels = int(poisoned.data.labels[index]), int(clean.labels[index])
            rows.writerow([name, index, *labels, int(poisoned.poisoned[index]), int(poisoned.cover[index])])

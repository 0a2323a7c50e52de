"""Read all that a store holds through every check, and note when that was done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bench import provenance
from bench.errors import Damaged
from bench.store import checked, drafts, files, paths, schema
from bench.store.store import SECTIONS, Section, Store

if TYPE_CHECKING:
    from torch import device

NAME = "verified.json"
PREDICTIONS = "predictions.safetensors"


class Verified(BaseModel):
    """What was verified last: when, on which machine (``provenance.host``), how much, and how many were damaged."""

    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime
    host: str = Field(max_length=40)
    stages: int = Field(ge=0, lt=2**53)
    bytes: int = Field(ge=0, lt=2**63)
    damaged: int = Field(ge=0, lt=2**53)


@dataclass
class Found:
    """What ``verify`` has read: numbers of stages, files and bytes; a line for each thing that is damaged."""

    stages: int = 0
    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def verify(store: Store, progress: Callable[[int], object] = lambda stages: None) -> Found:
    """Read every file of every stage. What another process removes meanwhile does not count."""
    found = Found(damaged=list(_strays(store)))
    for section in SECTIONS:
        for key in store.keys(section):
            try:
                content = read_stage(store, section, key)
            except FileNotFoundError:
                continue
            except Damaged as error:
                found.damaged.append(str(error))
            else:
                found.files += len(content)
                found.bytes += sum(map(len, content.values()))
            found.stages += 1
            progress(found.stages)
    return found


def note(store: Store, found: Found) -> None:
    """Keep in the store when it was verified. Raises OSError where it cannot be written."""
    at = datetime.fromisoformat(provenance.now())
    numbers = {"stages": found.stages, "bytes": found.bytes, "damaged": len(found.damaged)}
    content = Verified(at=at, host=provenance.host(), **numbers).model_dump_json().encode()
    draft = drafts.new(store.root)
    paths.within(store.root, draft).parent.mkdir(exist_ok=True)
    try:
        files.write(draft, content, durable=True)
        draft.replace(paths.within(store.root, store.root / NAME))
    finally:
        files.remove(draft)


def last(store: Store) -> Verified | None:
    """What was noted last; None where there is nothing, or nothing that can be read."""
    try:
        return Verified.model_validate_json(files.read(str(store.root / NAME)))
    except (OSError, files.NotPlain, ValidationError):
        return None


def read_stage(store: Store, section: Section, key: str) -> dict[str, bytes]:
    """All files of a stage by name, after every check: hashes, names, sizes, and what each file must hold.

    Raises Damaged, and FileNotFoundError for a stage that is not there.
    """
    content = store.contents(section, key)
    record = checked.record(section, key, content["record.json"]) if "record.json" in content else None
    try:
        schema.check_files(section, set(content), record.status if record else None)
    except ValueError as error:
        raise Damaged(section, key, "the folder", str(error)) from None
    images = record.n_test if record else 0  # 0 in a record of an early version
    for name, value in content.items():
        _check(section, key, name, value)
    if section == "victims":
        images = checked.facts(key, content["stage.json"]).n_test
    elif section == "natural":
        images = checked.natural(key, content["natural.json"]).n_test
    if images and PREDICTIONS in content:
        found = len(checked.tensors(section, key, PREDICTIONS, content[PREDICTIONS])["triggered_logits"])
        if found != images:
            raise Damaged(section, key, PREDICTIONS, f"is of {found} images, expected {images}")
    return content


def _check(section: Section, key: str, name: str, content: bytes) -> None:
    if name.endswith(".safetensors"):
        checked.tensors(section, key, name, content)
    elif name == "stage.json":
        checked.facts(key, content)
    elif name == "natural.json":
        checked.natural(key, content)
    elif name == "state.pt":
        checked.state(section, key, name, content, _cpu())
    elif name == "traceback.txt":
        checked.text(section, key, name, content)


def _cpu() -> "device":
    import torch

    return torch.device("cpu")


def _strays(store: Store) -> Iterator[str]:
    """What lies in a section and is no stage."""
    for section in SECTIONS:
        for prefix in sorted(files.names(store.root / section)):
            place = store.root / section / prefix
            if not paths.is_prefix(prefix) or not place.is_dir():
                yield f"{section}/{ascii(prefix)[1:-1]}: is no folder of stages"
                continue
            for name in sorted(files.names(place)):
                if not paths.is_key(name) or name[:2] != prefix:
                    yield f"{section}/{prefix}/{ascii(name)[1:-1]}: is no stage"

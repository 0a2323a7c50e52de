"""Every change to every file of a store, with hashes that are right or wrong, is damage that is said in one line.

The suite tries a sample; ``-m slow`` tries all of them with every command.
"""

import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import forged
import pytest
import torch
from stores import SELECTED, bench

from bench.api import open_registry
from bench.errors import Damaged
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.store import hashes
from bench.store.merge import merge
from bench.store.store import SECTIONS, Section, Store
from bench.store.verify import read_stage, verify

ANY = ("empty", "truncated", "no text", "deep")
JSON = ("a list", "a number", "null", "no JSON", "NaN")
TENSORS = ("no safetensors", "a huge header", "a huge shape")
CERTAIN = {
    "record.json": (*ANY, *JSON, "an unknown field", "without key", "key = '../..'", "victim_key = '../..'"),
    "stage.json": (*ANY, *JSON, "without n_test", "n_test = '[]'", "train_seconds = 'inf'", "stealth: psnr = '1e+308'"),
    "natural.json": (*ANY, *JSON, "without n_test", "without benign", "asr = 'inf'", "asr = '-1'", "victim = '../..'"),
    "predictions.safetensors": (
        *(*ANY, *TENSORS, "without clean_logits", "clean_logits of one axis", "clean_logits complex"),
        *("clean_logits NaN", "clean_logits of 7 channels", "labels twice as long", "targets NaN"),
        *("without triggered_logits", "triggered_logits of one axis", "triggered_logits NaN"),
    ),
    "pictures.safetensors": (*ANY, *TENSORS, "without clean", "clean of 7 channels", "clean of one axis", "clean NaN"),
    "model.safetensors": (*ANY, *TENSORS),
    "learned.safetensors": ("empty", "no text", "deep", *TENSORS),
    "state.pt": (*ANY, "a list", "no names", "no seconds", "endless"),
    "traceback.txt": ("no text",),
}  # what is damage by all means, by the name of the file


@dataclass(frozen=True)
class Forgery:
    """A change to one file of a stage of one section; its hash is right unless it is ``raw``."""

    section: Section
    name: str
    what: str
    content: bytes | forged.Harm

    @property
    def raw(self) -> bool:
        return not isinstance(self.content, bytes)

    @property
    def certain(self) -> bool:
        """Whether this is damage by all means. Some changes give a value that fits, such as another name."""
        return self.raw or self.name == hashes.NAME or self.what in CERTAIN[self.name]

    def apply(self, store: Store, key: str) -> None:
        path = store.folder(self.section, key) / self.name
        if not isinstance(self.content, bytes):
            self.content(path)
        elif self.name == hashes.NAME:
            path.write_bytes(self.content.replace(store.keys(self.section)[0].encode(), key.encode()))
        else:
            path.write_bytes(self.content.replace(store.keys(self.section)[0].encode(), key.encode()))
            forged.reseal(store, self.section, key)


@pytest.fixture(scope="module")
def plan():
    return make_plan(Request(**{**SELECTED, "seeds": "0-5"}), open_registry(), Path())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, plan) -> Store:
    store = Store(tmp_path_factory.mktemp("whole") / "store")
    forged.fill(store, plan)
    return store


def forgeries(store: Store) -> Iterator[Forgery]:
    """All of them, each as of the first stage of its section."""
    for section in SECTIONS:
        key = store.keys(section)[0]
        for path in sorted(store.folder(section, key).iterdir()):
            content = path.read_bytes()
            for what, harm in forged.raw_harms().items():
                yield Forgery(section, path.name, what, harm)
            made = (
                forged.manifests(section, key, content)
                if path.name == hashes.NAME
                else forged.contents(path.name, content)
            )
            for what, other in made:
                if other != content:
                    yield Forgery(section, path.name, what, other)
            for other in SECTIONS:  # the file of that name of a stage of another section
                theirs = store.folder(other, store.keys(other)[0]) / path.name
                if other != section and theirs.exists() and path.name != hashes.NAME:
                    yield Forgery(section, path.name, f"that of {other}", theirs.read_bytes())


def sample(store: Store, count: int) -> list[Forgery]:
    """Forgeries of every file, and all kinds that are certainly damage; the same ones every time."""
    of_file = defaultdict(list)
    for forgery in forgeries(store):
        of_file[forgery.section, forgery.name].append(forgery)
    draw = random.Random(8)
    return [one for several in of_file.values() for one in draw.sample(several, min(count, len(several)))]


def read_all(store: Store, section: Section, key: str) -> None:
    """Read a stage as every command does."""
    if section == "victims":
        store.facts(key)
        for name in ("predictions", "model", "learned"):
            store.tensors(section, key, f"{name}.safetensors")
        store.arrays(section, key, "pictures.safetensors")
    elif section == "checkpoints":
        store.state(section, key, "state.pt", torch.device("cpu"))
    elif section == "natural":
        store.natural(key)
        store.tensors(section, key, "predictions.safetensors")
    elif section == "cells":
        store.record(key)
        store.tensors(section, key, "predictions.safetensors")
    else:
        store.failure(key)
        store.text(section, key, "traceback.txt")


def damage_of(look: Callable[..., object], *stage) -> str | None:
    """What is said of a damaged stage; None for one that is read."""
    try:
        look(*stage)
    except Damaged as error:
        return str(error)
    return None


def try_reading(whole: Store, chosen: Iterable[Forgery], store: Store) -> set[tuple[str, str]]:
    """Read each forgery in ``store``, a copy of ``whole``. Returns which were certainly damage."""
    certain = set()
    for forgery in chosen:
        key = store.keys(forgery.section)[0]
        folder = store.folder(forgery.section, key)
        forgery.apply(store, key)
        for look in (read_all, read_stage):
            damage = damage_of(look, store, forgery.section, key)
            assert damage is not None or not forgery.certain, forgery
            assert damage is None or (damage.isprintable() and len(damage) < 400), forgery
        certain |= {(forgery.name, forgery.what)} if forgery.certain and not forgery.raw else set()
        shutil.rmtree(folder)
        shutil.copytree(whole.folder(forgery.section, key), folder)
    return certain


def test_a_forgery_is_read_as_damage_or_as_a_value_that_fits(whole, tmp_path):
    store = Store(Path(shutil.copytree(whole.root, tmp_path / "s")))
    chosen = [one for one in forgeries(whole) if one.certain] + sample(whole, 20)
    certain = try_reading(whole, chosen, store)
    assert certain >= {(name, what) for name, several in CERTAIN.items() for what in several}


@pytest.mark.slow
def test_every_forgery_is_read_as_damage_or_as_a_value_that_fits(whole, tmp_path):
    store = Store(Path(shutil.copytree(whole.root, tmp_path / "s")))
    assert try_reading(whole, forgeries(whole), store)


def commands(store: Path, folder: Path, keys: list[str]) -> list[list[str]]:
    """Every command that reads a store; the last ones change it."""
    at, clean = ["--store", str(store)], str(folder / "clean")
    return [
        ["verify", *at],
        ["status", *at, *forged.options("0-5")],
        ["plan", *at, *forged.options("0-5")],
        *(["show", key[:12], *at] for key in keys),
        ["report", *at, "--out", str(folder / "report")],
        ["merge", str(folder / "new"), str(store)],
        ["gc", *at, "--yes"],
        ["measure", *at],
        ["merge", str(store), clean],
    ]


def rounds(store: Store, chosen: list[Forgery]) -> Iterator[list[tuple[Forgery, str]]]:
    """Forgeries, each with the key of a stage of its own: as many at once as the store has stages."""
    waiting = {section: [one for one in chosen if one.section == section] for section in SECTIONS}
    while any(waiting.values()):
        dealt = []
        for section in SECTIONS:
            keys = store.keys(section)
            dealt += list(zip(waiting[section], keys, strict=False))
            waiting[section] = waiting[section][len(keys) :]
        yield dealt


def try_commands(whole: Store, dealt: list[tuple[Forgery, str]], folder: Path, capsys) -> None:
    """No command ends in a traceback; what is certainly damaged is named, and a merge heals it and spreads none."""
    store = Store(Path(shutil.copytree(whole.root, folder / "s")))
    shutil.copytree(whole.root, folder / "clean")
    for forgery, key in dealt:
        forgery.apply(store, key)
    named = {f"{one.section}/{key}" for one, key in dealt if one.certain}
    shown = [key for one, key in dealt if one.section in ("cells", "failures")]
    for words in commands(store.root, folder, shown):
        status, out, err = bench(capsys, *words)
        assert status in (0, 1, 2), (words, err)
        assert all(line.startswith("bench: ") for line in err.splitlines()), (words, err)
        if words[0] == "verify":
            assert status == (1 if named else status)
            assert all(f"damaged   {one}: " in out for one in named), named
    assert not verify(Store(folder / "new")).damaged
    assert not verify(store).damaged
    for path in folder.iterdir():
        shutil.rmtree(path)


def test_no_command_ends_in_a_traceback_on_a_sample(whole, tmp_path, capsys):
    for dealt in rounds(whole, sample(whole, 2)):
        try_commands(whole, dealt, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(16))
def test_no_command_ends_in_a_traceback(whole, tmp_path, capsys, part):
    for dealt in rounds(whole, list(forgeries(whole))[part::16]):
        try_commands(whole, dealt, tmp_path, capsys)


def test_what_is_not_of_a_store_is_not_taken_by_a_merge(whole, tmp_path):
    store = Store(Path(shutil.copytree(whole.root, tmp_path / "s")))
    key = store.keys("cells")[0]
    folder = store.folder("cells", key)
    (folder / "payload.sh").write_text("rm -rf /")
    forged.reseal(store, "cells", key)
    (store.root / "cells" / "zz").mkdir()
    (store.root / "cells" / key[:2] / "readme").write_text("x")
    own = Store(tmp_path / "own")
    assert [line.partition(": ")[2] for line in merge(own, store).damaged] == [
        f"cells/{key}: the folder has a file payload.sh, which does not belong there"
    ]
    assert not list(own.root.rglob("payload.sh"))
    assert {line.partition(":")[0] for line in verify(store).damaged} == {
        "cells/zz",
        f"cells/{key[:2]}/readme",
        f"cells/{key}",
    }

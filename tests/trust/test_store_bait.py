"""Whatever a store that somebody mails holds, no command touches what lies outside of it."""

import json
import os
import shutil
from pathlib import Path

import pytest
from forged import fill, options, reseal
from stores import SELECTED, bench

from bench.api import open_registry
from bench.engine import scheduler
from bench.errors import RequestError
from bench.plan.plan import make_plan
from bench.plan.request import Request
from bench.store import locks
from bench.store.store import SECTIONS, Store

THESIS = "home/me/thesis"
COMMANDS = ("run", "refresh", "plan", "status", "verify", "show", "report", "measure", "take", "give", "gc")


@pytest.fixture(scope="module")
def plan():
    return make_plan(Request(**{**SELECTED, "seeds": (0,)}), open_registry(), Path())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, plan) -> Path:
    """A store without any forgery."""
    store = Store(tmp_path_factory.mktemp("whole") / "store")
    fill(store, plan)
    return store.root


@pytest.fixture
def place(tmp_path, whole) -> Path:
    """A copy of the store, and beside it what nobody may touch."""
    shutil.copytree(whole, tmp_path / "store")
    shutil.copytree(whole, tmp_path / "own")
    thesis = tmp_path / THESIS
    (thesis / "chapters").mkdir(parents=True)
    for name in ("poetry.lock", "uv.lock", f"{'d' * 32}.lock", "thesis.tex", "record.json", "chapters/one.tex"):
        (thesis / name).write_text("years of work")
    shutil.copytree(whole / "cells", thesis / "cells")
    return tmp_path


def snapshot(folder: Path) -> dict[Path, object]:
    """All that lies in a folder, links as themselves."""
    return {
        path: path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def words(command: str, place: Path, key: str) -> list[str]:
    """The words of a command on the store in ``place``; it reads and writes the store ``own`` where it merges."""
    store = ["--store", str(place / "store")]
    selected = [*options("0"), *store]
    return {
        "run": ["run", *selected, "--executor", "inline"],
        "refresh": ["run", *selected, "--executor", "inline", "--refresh", "badnets"],
        "plan": ["plan", *selected],
        "status": ["status", *selected],
        "verify": ["verify", *store],
        "show": ["show", key, *store],
        "report": ["report", *store, "--out", str(place / "report")],
        "measure": ["measure", *store],
        "take": ["merge", str(place / "own"), str(place / "store")],
        "give": ["merge", str(place / "store"), str(place / "own")],
        "gc": ["gc", *store, "--yes"],
    }[command]


def link(path: Path, target: Path) -> None:
    """Put a link to ``target`` where ``path`` was."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target, target_is_directory=target.is_dir())


def forge_keys(place: Path, plan) -> None:
    """Every record claims a key that leads out of the store, every second one a victim's key, too."""
    store = Store(place / "store")
    for number, cell in enumerate(plan.cells):
        section = "failures" if store.has("failures", cell.key) else "cells"
        path = store.folder(section, cell.key) / "record.json"
        # as cells/KE/KEY was joined from it; with victim_key as it is, --refresh of the attack believed the rest
        forged = dict.fromkeys(("key", "victim_key") if number % 2 else ("key",), f"../{THESIS}")
        path.write_text(json.dumps(json.loads(path.read_text()) | forged))
        reseal(store, section, cell.key)


def link_at(name: str):
    return lambda place, plan: link(place / "store" / name, place / THESIS)


def link_prefix(place: Path, plan) -> None:
    key = plan.cells[0].key
    link(place / "store" / "cells" / key[:2], place / THESIS / "cells" / key[:2])


def link_stage(place: Path, plan) -> None:
    for cell in plan.cells:
        link(place / "store" / "cells" / cell.key[:2] / cell.key, place / THESIS)
    for victim in plan.victims:
        link(place / "store" / "victims" / victim.key[:2] / victim.key, place / THESIS)


def link_file(place: Path, plan) -> None:
    for path in (place / "store" / "cells").glob("*/*/record.json"):
        link(path, place / THESIS / "record.json")


def link_lock(place: Path, plan) -> None:
    link(place / "store" / "claims" / f"{plan.cells[0].key}.lock", place / THESIS / f"{'d' * 32}.lock")


def link_draft(place: Path, plan) -> None:
    link(place / "store" / "tmp" / f"{2**22 + 1}-x@{os.uname().nodename}", place / THESIS)


REFUSED = {
    **{f"{name} is a link": link_at(name) for name in (*SECTIONS, "claims", "tmp", "notes")},
    "a folder of stages is a link": link_prefix,
    "a lock is a link": link_lock,
    "a draft is a link": link_draft,
}
DAMAGED = {"keys are paths": forge_keys, "stages are links": link_stage, "files are links": link_file}


@pytest.mark.parametrize("trap", [*REFUSED, *DAMAGED])
def test_no_command_touches_what_lies_outside(trap, place, plan, capsys, monkeypatch):
    monkeypatch.setattr(scheduler, "execute", lambda work, *others: {})  # what it computes does not matter here
    (REFUSED | DAMAGED)[trap](place, plan)
    before, forged = snapshot(place / "home"), place / "forged"
    shutil.copytree(place / "store", forged, symlinks=True)
    for command in COMMANDS:
        status, _, err = bench(capsys, *words(command, place, plan.cells[0].key))
        assert snapshot(place / "home") == before, command
        assert "Traceback" not in err
        if trap in REFUSED:
            assert (status, err.count("\n")) == (2, 1), command
            assert "is a link to" in err
        shutil.rmtree(place / "store")
        shutil.copytree(forged, place / "store", symlinks=True)


def test_a_stage_that_is_a_link_is_removed_and_what_it_leads_to_stays(place, plan):
    link_stage(place, plan)
    store, before = Store(place / "store"), snapshot(place / "home")
    for cell in plan.cells:
        store.forget("cells", cell.key)
        assert not store.has("cells", cell.key)
    assert snapshot(place / "home") == before


@pytest.mark.parametrize("key", [f"../../{THESIS}", "..", "/etc", "", "A" * 32, "a" * 31, "a" * 33, "a" * 32 + "\n"])
def test_what_is_no_key_is_never_made_a_path(place, key):
    store = Store(place / "store")
    for use in (store.folder, store.has, store.forget, store.contents):
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            use("cells", key)
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        store.write("cells", key, {"record.json": "{}"})


def test_what_becomes_a_link_while_a_store_is_open_is_not_followed(place, plan):
    store, before = Store(place / "store"), snapshot(place / "home")
    for name in ("claims", "cells", "tmp"):
        link(place / "store" / name, place / THESIS)
    for use in (
        lambda: locks.sweep(store.root),
        lambda: locks.lock(store.root, "d" * 32).__enter__(),
        lambda: store.write("cells", "d" * 32, {"record.json": "{}"}),
        lambda: store.forget("cells", plan.cells[0].key),
    ):
        with pytest.raises(RequestError, match="leads out of the store"):
            use()
    assert snapshot(place / "home") == before

"""Which cells of a plan are to be done, and which are computed again on request."""

from contextlib import contextmanager

import pytest
import tiny
from scripted import play, short
from stores import put, train

import bench
from bench.engine import outstanding as outstanding_module
from bench.engine.outstanding import outstanding
from bench.errors import Damaged, RequestError


def test_a_cell_with_a_damaged_record_is_to_be_done(plan, store, monkeypatch):
    play(plan, store)
    damaged, notes = plan.cells[0].key, []
    read = store.record

    def record(key):
        if key == damaged and store.has("cells", key):
            raise Damaged("cells", key, "record.json")
        return read(key)

    monkeypatch.setattr(store, "record", record)
    work, done = outstanding(plan, store, notes.append)
    assert [stage.key for stage in work.stages] == [damaged]
    assert len(done) == 3
    assert "record.json" in notes[0]


def test_only_what_is_asked_for_is_outstanding(plan, store):
    play(plan, store, {"badnets/none": ["failed"], "sig": ["failed"]})
    store.forget("failures", next(cell.key for cell in plan.cells if short(cell) == "sig/none"))

    def wanted(**choice):
        work, _ = outstanding(plan, store, print, **choice)
        return [short(stage) for stage in work.stages]

    assert wanted() == ["sig", "badnets/none", "sig/none", "sig/bnp"]
    assert wanted(retry="failed") == ["sig", "badnets/none", "sig/bnp"]
    assert wanted(only="missing") == ["sig", "sig/none"]
    fresh = {cell.key for cell in plan.cells}
    assert wanted(only="missing", fresh=fresh) == wanted()


@pytest.fixture
def outdated(plan, store):
    """Work whose first victim was made by other code, and that victim."""
    train(store, victim := plan.victims[0], fingerprints={"attack": "0" * 16})
    put(store, cell := plan.cells[0])
    assert cell.victim == victim
    notes: list[str] = []
    work, _ = outstanding(plan, store, notes.append)
    assert notes == [
        "attack 'badnets': its code was changed since 1 of these victims was made; "
        "it and its cells are computed again (--stale keep keeps them)"
    ]
    assert victim in work.victims
    return work, victim, cell


def test_what_other_code_has_made_stays_until_its_stage_begins(outdated, store):
    work, victim, cell = outdated
    assert store.has("victims", victim.key)
    assert store.has("cells", cell.key)  # which does not say by which code it was made
    assert work.found(victim, store) is None
    assert not store.has("victims", victim.key)
    assert not store.has("cells", cell.key)


@pytest.mark.parametrize("meanwhile", ["busy", "done"])
def test_what_another_run_makes_or_has_made_anew_is_left_alone(outdated, store, monkeypatch, meanwhile):
    work, victim, _ = outdated

    @contextmanager
    def lock(root, key):
        if meanwhile == "done":
            store.forget("victims", victim.key)
            train(store, victim, fingerprints=victim.codes)
        yield meanwhile == "done"

    monkeypatch.setattr(outstanding_module.locks, "lock", lock)
    assert work.found(victim, store) == meanwhile
    assert store.has("victims", victim.key)


@pytest.mark.parametrize("gone", ["cells", "victims"])
def test_a_crash_in_the_midst_of_removing_leaves_nothing_that_looks_new(outdated, plan, store, monkeypatch, gone):
    work, victim, cell = outdated
    forget = store.forget

    def killed(section, key):
        if section == gone:
            raise KeyboardInterrupt
        forget(section, key)

    monkeypatch.setattr(store, "forget", killed)
    with pytest.raises(KeyboardInterrupt):
        work.found(victim, store)
    monkeypatch.setattr(store, "forget", forget)
    again, done = outstanding(plan, store, lambda line: None)
    assert cell.key not in done
    assert victim in again.victims


@pytest.fixture(scope="module")
def run_again(tmp_path_factory):
    """Runs the same grid, which has failures and was run once, again; returns how often each plugin was called."""
    folder = tmp_path_factory.mktemp("run_again")
    file = tiny.plugins(folder)

    def run(**choice):
        (folder / "log").unlink(missing_ok=True)
        request = {**tiny.GRID, "attacks": "corner[n=0|1]", "defenses": "halve[n=1|2],bad"}
        results = bench.run(**request, plugin=[file], store=folder / "store", executor="inline", **choice)
        assert len(results.records) == 6
        return dict(tiny.log(folder))

    run()
    return run


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, {"raise": 2}),
        ({"retry": "failed"}, {"raise": 2}),
        ({"only": "missing"}, {}),
        ({"refresh": "halve", "only": "missing"}, {"halve[n=1]": 2, "halve[n=2]": 2}),
        ({"refresh": "halve", "retry": "failed"}, {"halve[n=1]": 2, "halve[n=2]": 2, "raise": 2}),
        (
            {"refresh": "corner"},
            {"corner[n=0]": 1, "corner[n=1]": 1, "halve[n=1]": 2, "halve[n=2]": 2, "raise": 2},
        ),
    ],
)
def test_only_what_is_asked_for_is_computed_again(run_again, choice, expected):
    assert run_again(**choice) == expected


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"retry": "all"}, "--retry all: expected failed"),
        ({"only": "done"}, "--only done: expected missing"),
        ({"retry": "failed", "only": "missing"}, "expected one of them"),
        ({"refresh": "halv"}, "--refresh halv: expected a plugin of this request: bad, corner, dots, halve, linear"),
    ],
)
def test_a_wrong_choice_is_refused(run_again, choice, complaint):
    with pytest.raises(RequestError, match=complaint):
        run_again(**choice)


def test_a_name_that_two_kinds_share_needs_its_kind(tmp_path):
    request = {**tiny.GRID, "attacks": "none", "defenses": "none", "plugin": [tiny.plugins(tmp_path)]}
    with pytest.raises(RequestError, match="--refresh none: expected attack:none or defense:none"):
        bench.run(**request, store=tmp_path / "store", executor="inline", refresh="none")
    assert not (tmp_path / "store").exists()

"""What a defense notes past its context's methods is seen when the record is made: its cell fails, and no other."""

import json

import pytest
import tiny

import bench

EXPECTED = {
    "odd[what=nan]": "note 'x'[0]: nan, expected a finite number",
    "odd[what=forged]": "defense 'odd': note 'stream_curve': expected another name",
    "odd[what=broken]": "defense 'odd': note 'class_statistic'",
    "odd[what=object]": "defense 'odd': note 'x': got a object",
    "odd[what=numbered]": "defense 'odd': the name of a note: got a int",
    "odd[what=short]": "note 'latent_shifts': class 0: 2 numbers, the latent has 36",
    "late": "defense 'late': note 'x': inf",
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    kinds = "|".join(name[len("odd[what=") : -1] for name in EXPECTED if name.startswith("odd["))
    results = bench.run(
        **tiny.GRID,
        attacks="corner",
        defenses=f"none,odd[what={kinds}|shown],late",
        plugin=[tiny.plugins(folder), tiny.PLUGIN_FOLDER / "notes_odd.py"],
        store=folder / "store",
        executor="inline",
    )
    return {record.defense_label: record for record in results.records}


@pytest.mark.parametrize("label", EXPECTED)
def test_an_odd_note_fails_its_cell_in_a_line_that_names_it(records, label):
    assert records[label].status == "failed"
    assert EXPECTED[label] in records[label].reason
    assert records[label].reason.isprintable()
    assert json.loads(records[label].diagnostics) == {}


@pytest.mark.parametrize("label", ["none", "odd"])
def test_neighbours_and_what_is_only_shown_do_not_fail(records, label):
    assert records[label].status == "done"

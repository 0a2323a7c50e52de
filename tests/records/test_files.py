"""Records in files: what is written is read again, of every version, and what is damaged is one line."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_records import cell

from bench.records import Record, UnreadableRecords, merged, once, read_records, to_frame, write_records
from bench.reports.blocks import blocks
from bench.reports.tables.csv import csv

CELLS = [
    cell("none", "none"),
    cell("badnets", "none"),
    cell("badnets", "bna", valid=False, doubt="ASR 10.0% is below 80.0%", acc_benign=0.98),
    cell("sig", "fire", status="failed", reason="1/0"),
    cell("sig", "tac", log="one\ntwo"),
]


def same(records: list[Record], others: list[Record]) -> bool:
    pd.testing.assert_frame_equal(to_frame(records), to_frame(others))
    return True


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return write_records(CELLS, tmp_path / "a" / "records.jsonl")


def test_lines_and_parquet_give_back_what_was_written(lines: Path, tmp_path: Path) -> None:
    frame = to_frame(CELLS).assign(derived=0.5).iloc[[0, 1, 2, 3, 4]]  # with an index, which pandas writes as a column
    frame.to_parquet(tmp_path / "results.parquet")
    assert same(read_records(lines)[0], CELLS)
    assert same(read_records(tmp_path / "results.parquet")[0], CELLS)
    assert same(read_records(tmp_path)[0], CELLS)  # the directory that has it
    assert [path.name for path in lines.parent.iterdir()] == ["records.jsonl"]


@pytest.mark.parametrize("name", sorted(name for name, field in Record.model_fields.items() if not field.is_required()))
def test_a_file_of_before_a_column_was_added_is_read(name: str, tmp_path: Path) -> None:
    row = json.loads(CELLS[0].model_dump_json())
    del row[name]
    (tmp_path / "r.jsonl").write_text(json.dumps(row))
    [found] = read_records(tmp_path / "r.jsonl")[0]
    assert repr(getattr(found, name)) == repr(Record.model_fields[name].default)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "is no record: Invalid JSON"),
        ("[]", "is no record: "),
        ('{"key": "x"}', "has no "),
        (json.dumps(json.loads(CELLS[0].model_dump_json()) | {"acc": 2}), "acc: "),
        (
            json.dumps(json.loads(CELLS[0].model_dump_json()) | {"added": 2}),
            "unknown column 'added'; was it written by",
        ),
        (json.dumps(json.loads(CELLS[0].model_dump_json()) | {"key": "../x"}), "key '../x': expected 32 hexadecimal"),
        ("\x00", "is no record"),
    ],
)
def test_a_damaged_line_is_named_with_its_file_and_number(lines: Path, line: str, expected: str) -> None:
    with lines.open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(UnreadableRecords) as caught:
        read_records(lines)
    message = str(caught.value)
    assert message.startswith(f"{lines}, line {len(CELLS) + 2}: ")
    assert expected in message
    assert message.isprintable()
    assert len(message) < 600 + len(str(lines))


@settings(max_examples=60)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".jsonl", ".parquet", ".csv"]))
def test_whatever_a_file_holds_is_records_or_one_line(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnreadableRecords) as caught:
        read_records(path)
    assert str(caught.value).isprintable()


def test_what_is_no_file_of_records_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.txt").touch()
    (tmp_path / "empty.jsonl").touch()
    for path in (
        tmp_path,
        tmp_path / "r.txt",
        tmp_path / "gone.jsonl",
        tmp_path / "gone.parquet",
        tmp_path / "empty.jsonl",
    ):
        with pytest.raises(UnreadableRecords, match=str(path)):
            read_records(path)


def test_a_row_of_parquet_that_is_no_record_is_named(tmp_path: Path) -> None:
    frame = to_frame(CELLS)
    frame.loc[1, "defense_params"] = "{"
    frame.to_parquet(tmp_path / "results.parquet")
    with pytest.raises(UnreadableRecords, match=r"results.parquet, row 2: defense_params"):
        read_records(tmp_path / "results.parquet")


def test_of_a_cell_in_two_files_the_newest_that_is_done_stays() -> None:
    old, new = CELLS[1], CELLS[1].model_copy(update={"finished": "2027", "acc": 0.5})
    failed = CELLS[1].model_copy(update={"finished": "2028", "status": "failed"})
    assert once([old, new, failed]) == [new]
    assert once([failed, new, old]) == [new]


@pytest.mark.parametrize("column", ["acc", "der", "auroc", "status", "asr_before"])
def test_two_sources_that_differ_in_a_figure_are_both_named_whichever_is_newer(column: str) -> None:
    other = CELLS[1].model_copy(update={column: "failed" if column == "status" else 0.123})
    found, [line] = merged([("a", CELLS), ("b", [other])])
    assert found == CELLS
    assert line == (
        "b: 1 record left out, for a has other figures of the same cell; what is done, newest and named first is taken"
    )


def test_the_same_records_in_two_sources_are_no_difference() -> None:
    assert merged([("a", CELLS), ("b", CELLS[:2])]) == (CELLS, [])
    later = CELLS[1].model_copy(update={"finished": "2027", "defense_seconds": 1.0})
    [line] = merged([("a", CELLS[:2]), ("b", [later])])[1]
    assert line.startswith("a: 1 record left out, for b has another record of the same cell; ")


def test_a_table_of_means_gives_its_means_again_and_says_what_it_lacks(tmp_path: Path) -> None:
    frame = to_frame(
        [
            cell(attack, name, seed)
            for attack in ("none", "badnets", "sig")
            for name in ("none", "bna", "fire")
            for seed in (0, 1)
        ]
    )
    frame.loc[(frame["attack"] == "sig") & (frame["defense"] == "bna") & (frame["seed"] == 1), "status"] = "failed"
    frame["attack_label"] = frame["attack_label"].replace(
        "badnets", "=badnets"
    )  # a formula, which a table makes a text
    [block] = blocks(frame)
    (tmp_path / "table.csv").write_text(csv([block]))
    found, notes = read_records(tmp_path / "table.csv")
    assert {one.means_over for one in found} == {2}
    assert [note.partition(": ")[2].split(" ")[0] for note in notes] == ["holds", "1"]
    [again] = blocks(to_frame(found))
    assert again.attacks == block.attacks
    for attack in block.attacks:
        for defense in block.defenses:
            if (attack, defense) == ("sig", "bna"):
                assert again.cell(attack, defense).status == "missing"
                continue
            for metric in block.metrics:
                own, other = (one.cell(attack, defense).stat(metric) for one in (block, again))
                assert other.mean == pytest.approx(own.mean, nan_ok=True)
                assert pd.isna(other.std)


@pytest.mark.parametrize("name", ["records.jsonl", "table.csv"])
def test_a_byte_order_mark_before_a_file_is_none_of_it(name: str, tmp_path: Path) -> None:
    write_records(CELLS, tmp_path / "records.jsonl")
    (tmp_path / "table.csv").write_text(csv(blocks(to_frame(CELLS))))
    plain = read_records(tmp_path / name)[0]
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes())
    assert same(read_records(tmp_path / name)[0], plain)


def test_a_line_of_a_table_that_is_damaged_is_named(tmp_path: Path) -> None:
    text = csv(blocks(to_frame(CELLS)))
    head, first, *rest = text.splitlines()
    place = head.split(",").index("acc_mean")
    wrong = first.split(",")
    wrong[place] = "many"
    path = tmp_path / "table.csv"
    path.write_text("\n".join([head, first, ",".join(wrong), *rest]))
    with pytest.raises(UnreadableRecords, match=r"table.csv, line 3: could not convert string to float: 'many'"):
        read_records(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(
        UnreadableRecords, match=r"table.csv, line 1: is no table of a report: it has no column 'dataset'"
    ):
        read_records(path)

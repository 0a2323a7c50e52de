"""Records in files: lines of JSON, Parquet, and tables of means. What is read is checked as a store's records are."""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.records.means import MeansError, records_of_table
from bench.records.record import Record
from bench.records.texts import printable
from bench.records.whole_file import write_whole

RECORD_FILES = ("records.jsonl", "results.parquet", "table.csv")  # in a directory, the first that is there
RECORD_SUFFIXES = frozenset(Path(name).suffix for name in RECORD_FILES)
_LONGEST_LINE = 2**27  # bytes
_MOST_ROWS, _MOST_BYTES = 1_000_000, 2**32  # of a Parquet file, unpacked
_MEASURED = {"status", "acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before", "identified"}
_MEASURED |= {"auroc", "average_precision", "tpr_at_1_fpr", "tpr", "fpr", "tpr_assigned", "fpr_assigned"}
_MEASURED |= {"acc_target_before", "class_acc_before", "base_rate", "n_train", "n_poisoned", "n_test", "n_triggered"}
_KEY = re.compile(r"[0-9a-f]{32}")


class UnreadableRecords(ValueError):
    """A file of records that cannot be used. The message is one line with the file and the line or row."""


def read_records(path: Path) -> tuple[list[Record], list[str]]:
    """The records in a file, and lines about what it does not hold.

    ``path``: ``….jsonl`` with a record a line, ``….parquet`` with a record a row, both as ``bench report`` writes them,
    or ``….csv``, its table of means; or a directory that has one of ``RECORD_FILES``. Files of older versions lack
    columns, which then have their defaults; columns of a Parquet file that no record has, such as a report derives, are
    left aside. Raises UnreadableRecords.
    """
    path = _file(path)
    readers = {".jsonl": _lines, ".parquet": _rows, ".csv": _means}
    if path.suffix not in readers:
        raise UnreadableRecords(f"{_shown(path)}: expected a file {', '.join(f'*{suffix}' for suffix in readers)}")
    try:
        records, notes = readers[path.suffix](path)
    except OSError as error:
        raise UnreadableRecords(f"{_shown(path)}: cannot be read: {error.strerror or error}") from None
    if not records:
        raise UnreadableRecords(f"{_shown(path)}: holds no records{''.join(f'; {note}' for note in notes)}")
    return records, [f"{_shown(path)}: {note}" for note in notes]


def read_all(paths: Iterable[Path]) -> tuple[list[tuple[str, list[Record]]], list[str]]:
    """The records of each file with its name, and the lines about what all do not hold. Raises UnreadableRecords."""
    found = [(_shown(path), *read_records(path)) for path in paths]
    return [(name, records) for name, records, _ in found], [note for *_, notes in found for note in notes]


def once(records: Iterable[Record]) -> list[Record]:
    """Each cell once, where several files have it: one that is done before others, and of these the last to finish."""
    found: dict[str, Record] = {}
    for record in records:
        other = found.get(record.key)
        if other is None or _rank(record) > _rank(other):
            found[record.key] = record
    return list(found.values())


def merged(sources: Iterable[tuple[str, Iterable[Record]]]) -> tuple[list[Record], list[str]]:
    """Each cell ``once``, of records by the name of their source, and a line for each two that differ in a cell.

    A line names both sources and says whether the figures are others, or only when and where they were made.
    """
    given = [(name, record) for name, records in sources for record in records]
    taken = {record.key: record for record in once(record for _, record in given)}
    source_of = {id(record): name for name, record in reversed(given)}
    others: dict[tuple[str, str, bool], set[tuple[str, ...]]] = {}
    for name, record in given:
        kept = taken[record.key]
        apart = record is not kept and _figures(record) != _figures(kept)
        if apart or record.finished != kept.finished:
            of_pair = others.setdefault((name, source_of[id(kept)], apart), set())
            of_pair.add((record.key, record.finished, _figures(record)))
    return list(taken.values()), [_left_out(*pair, len(found)) for pair, found in others.items()]


def write_records(records: Iterable[Record], path: Path) -> Path:
    """Write a record a line, the verdict on its victim included, as ``read_records`` takes them.

    The file is complete or as it was. Raises OSError where it cannot be written.
    """
    return write_whole(path, map(_line, records))


def lines_of(records: Iterable[Record]) -> bytes:
    """What ``write_records`` writes."""
    return b"".join(map(_line, records))


def _line(record: Record) -> bytes:
    return record.model_dump_json().encode() + b"\n"


def _rank(record: Record) -> tuple[bool, str]:
    return record.status == "done", record.finished


def _figures(record: Record) -> str:
    """What was measured, as a text; not when, where and how fast, and not what is derived from other records."""
    return record.model_dump_json(include=_MEASURED)


def _left_out(name: str, other: str, apart: bool, count: int) -> str:
    """The line for a source of which ``count`` records are not taken."""
    what = "other figures" if apart else "another record" if count == 1 else "others"
    has = "it has" if name == other else f"{other} has"
    several = "s" * (count > 1)
    return (
        f"{name}: {count} record{several} left out, for {has} {what} of the same cell{several}; "
        "what is done, newest and named first is taken"
    )


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    inside = [path / name for name in RECORD_FILES if (path / name).is_file()]
    if not inside:
        raise UnreadableRecords(f"{_shown(path)}: expected a directory with one of {', '.join(RECORD_FILES)}")
    return inside[0]


def _lines(path: Path) -> tuple[list[Record], list[str]]:
    records = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            line = line.removeprefix(BOM_UTF8) if number == 1 else line  # as some editors write it
            if line.strip():
                records.append(_checked(lambda line=line: Record.model_validate_json(line), f"{path}, line {number}"))
    return records, []


def _rows(path: Path) -> tuple[list[Record], list[str]]:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            parts = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if file.metadata.num_rows > _MOST_ROWS or sum(part.total_byte_size for part in parts) > _MOST_BYTES:
                raise UnreadableRecords(f"{_shown(path)}: expected at most {_MOST_ROWS} rows and {_MOST_BYTES} bytes")
            names = [name for name in file.schema_arrow.names if name in Record.model_fields]
            rows = file.read(columns=names).to_pylist()
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise UnreadableRecords(f"{_shown(path)}: cannot be read as Parquet: {_said(error)}") from None
    return [
        _checked(lambda row=row: Record.model_validate(row), f"{path}, row {number}")
        for number, row in enumerate(rows, 1)
    ], []


def _means(path: Path) -> tuple[list[Record], list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return records_of_table(file)
    except MeansError as error:
        raise UnreadableRecords(f"{_shown(path)}{error}") from None
    except UnicodeDecodeError:
        raise UnreadableRecords(f"{_shown(path)}: cannot be read: expected UTF-8") from None


def _checked(make: Any, place: str) -> Record:
    try:
        record: Record = make()
    except ValidationError as error:
        raise UnreadableRecords(f"{_shown(place)}: {explained(error)}") from None
    except RecursionError:
        raise UnreadableRecords(f"{_shown(place)}: is nested too deep") from None
    for name in ("key", "victim_key"):
        if not _KEY.fullmatch(getattr(record, name)):
            given = printable(getattr(record, name), 40)
            raise UnreadableRecords(f"{_shown(place)}: {name} {given!r}: expected 32 hexadecimal digits")
    return record


def explained(error: ValidationError) -> str:
    """The first thing that is wrong with a record, in a few words that name the column."""
    first = next(_wrong(error))
    column = printable(".".join(map(str, first["loc"])), 60)
    if first["type"] == "extra_forbidden":
        return f"unknown column {column!r}; was it written by a newer version?"
    if first["type"] == "missing":
        return f"has no {column}"
    message = printable(first["msg"].removeprefix("Value error, "), 200)
    return f"{column}: {message}" if column else f"is no record: {message}"


def _wrong(error: ValidationError) -> Iterator[Any]:
    yield from error.errors(include_url=False, include_input=False, include_context=False)


def _said(error: Exception) -> str:
    return printable(str(error), 200)


def _shown(path: object) -> str:
    return printable(str(path), 300)

"""What a site is made of: the records of a store, or those of a file with one a line."""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from bench.cell.validity import judged, judged_records
from bench.errors import Damaged, RequestError, shortened
from bench.records import Record
from bench.store.store import Store


def records_of(source: Path, damaged: Callable[[Damaged], object]) -> list[Record]:
    """The records of a store, or of a file of records, with their verdicts.

    ``damaged`` is called for what a store holds and cannot be read. Raises RequestError for anything that is neither a
    store nor a file of records.
    """
    if source.is_file():
        return judged(_read(source))
    try:
        return judged_records(Store(source, create=False), damaged)
    except RequestError as error:
        reason = str(error).removeprefix(f"--store {source}: ").replace("an empty place", "a file of records")
        raise RequestError(f"site {shortened(str(source))}: {reason}") from None


def _read(file: Path) -> list[Record]:
    """The records of a file, one a line; empty lines count for nothing."""
    records = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    records.append(_record(line, f"site {shortened(str(file))}, line {number}"))
    except UnicodeDecodeError:
        raise RequestError(f"site {shortened(str(file))}: expected a text of records, one a line, in UTF-8") from None
    return records


def _record(line: str, where: str) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
        raise RequestError(f"{where}: expected a record: {shortened(why)}") from None

"""The directory that a report or a site is written to: files that somebody else wrote stay, those of the last one go.

A list in it (``bench-report.json``) holds the files that the last one wrote. One of before there was such a list is
known by its page, and its files by how they begin.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bench.records import printable
from bench.records.whole_file import write_whole
from bench.reports.chosen import WrongChoice

_PAGE = "index.html"
_HEAD = 4096  # bytes


@dataclass(frozen=True)
class Kind:
    """What is written to a directory of its own.

    ``what``: its name, and that of its command; ``manifest``: the file that lists its files. Of one of before there
    were lists, ``always`` are files that it always had, ``page`` is in the first bytes of its index.html, and
    ``beginnings`` are how its files begin, by suffix; a file whose suffix is in ``beside`` is known by that other file.
    ``often``: names that it may write, and that others give too.
    """

    what: str
    manifest: str
    always: tuple[str, ...]
    page: bytes
    beginnings: Mapping[str, tuple[bytes, ...]]
    beside: Mapping[str, str] = field(default_factory=dict)
    often: tuple[str, ...] = ()


REPORT = Kind(
    what="report",
    manifest="bench-report.json",
    always=(_PAGE, "table.md", "table.csv", "table.tex", "results.parquet"),
    page=b"<title>Backdoor defenses compared</title>",
    beginnings={".tex": (b"% needs \\usepackage{booktabs}", b"% an example: pdflatex paper")},
    beside={".bib": "paper.tex"},  # beside our paper lie our references
    often=("references.bib", "paper.tex"),
)


def expect_free(folder: Path, kind: Kind = REPORT) -> None:
    """Raises WrongChoice if what every report (site) writes would replace a file that no report (site) wrote."""
    known = written(folder, kind)
    for name in (*kind.always, *kind.often, kind.manifest):
        _expect_ours(folder, name, known, kind)


def write_files(folder: Path, files: Mapping[str, bytes], kind: Kind = REPORT) -> list[Path]:
    """Write the files of a report or a site, by their paths in ``folder``, and their list; return the files' paths.

    Those of the last one that are not among them are removed. Each file is complete or as it was. Raises WrongChoice
    before anything is written, in a line that names a file that would be replaced and that none of this kind wrote, and
    OSError where the folder cannot be written.
    """
    known = written(folder, kind)
    for name in (*files, kind.manifest):
        _expect_ours(folder, name, known, kind)
    there = [name for name in sorted(known) if (folder / name).is_file()]
    _list(folder, [*there, *files], kind)  # first, so that half of one is known as ours too
    paths = [write_whole(folder / name, [data]) for name, data in files.items()]
    for name in known - set(files):
        _remove(folder, name)
    _list(folder, files, kind)
    return paths


def written(folder: Path, kind: Kind = REPORT) -> set[str]:
    """The paths in ``folder`` of what the last one wrote there, as its list says; none where there is no list."""
    try:
        told = json.loads((folder / kind.manifest).read_text(encoding="utf-8"))
        names = told["files"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return set()
    return {name for name in names if isinstance(name, str) and _is_inside(name)} if isinstance(names, list) else set()


def _list(folder: Path, names: Iterable[str], kind: Kind) -> None:
    told = {"what": f"files that bench {kind.what} wrote, and replaces or removes", "files": sorted(set(names))}
    write_whole(folder / kind.manifest, [json.dumps(told, indent=1).encode() + b"\n"])


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _expect_ours(folder: Path, name: str, known: set[str], kind: Kind) -> None:
    """Raises WrongChoice if a file of this name is there and nothing says that it is ours, or if there can be none."""
    path = folder / name
    for above in path.parents[: len(PurePosixPath(name).parts) - 1]:
        if os.path.lexists(above) and not above.is_dir():
            raise WrongChoice(
                f"out {_shown(above)}: is no directory; {_shown(name)} of the {kind.what} cannot be written"
            )
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file():
        raise WrongChoice(f"out {_shown(path)}: is there already, is no plain file, and is not replaced")
    if not (name in known or _is_list(path, kind) or (not known and _is_of_older(folder, path, kind))):
        raise WrongChoice(
            f"out {_shown(path)}: is there already, and no list ({kind.manifest}) says that a {kind.what} wrote it; "
            "it is not replaced; expected an empty directory"
        )


def _is_list(path: Path, kind: Kind) -> bool:
    return path.name == kind.manifest and b'"files"' in path.read_bytes()[:_HEAD]


def _is_of_older(folder: Path, path: Path, kind: Kind) -> bool:
    """Whether a file is of a report or a site of before there were lists of files."""
    if (folder / kind.manifest).exists() or not all((folder / name).is_file() for name in kind.always):
        return False
    if kind.page not in _head(folder / _PAGE):
        return False
    own = folder / kind.beside[path.suffix] if path.suffix in kind.beside else path
    return own.is_file() and _head(own).startswith(kind.beginnings.get(own.suffix, (b"",)))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _remove(folder: Path, name: str) -> None:
    """Remove a file of the last one, and the folders that held nothing else."""
    path = folder / name
    if any(above.is_symlink() for above in path.parents[: len(PurePosixPath(name).parts) - 1]):
        return  # what a link leads to is not ours
    if path.is_file() or path.is_symlink():
        path.unlink()
    for above in path.parents[: len(PurePosixPath(name).parts) - 1]:
        try:
            above.rmdir()
        except OSError:
            return


def _shown(path: object) -> str:
    return printable(str(path), 300)

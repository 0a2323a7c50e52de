"""The directory that a report is written to: files that somebody else wrote stay, those of the last report go.

``bench-report.json`` in it lists the files that the last report wrote. A report of before there was such a list is
known by its page, and its files by how they begin.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from bench.records import printable
from bench.records.whole_file import write_whole
from bench.reports.chosen import WrongChoice

MANIFEST = "bench-report.json"
_ALWAYS = ("index.html", "table.md", "table.csv", "table.tex", "results.parquet")  # in every report of before
_PAGE = b"<title>Backdoor defenses compared</title>"
_HEAD = 4096  # bytes
_BEGINNINGS = {".tex": (b"% needs \\usepackage{booktabs", b"% an example: pdflatex paper")}
_PAPER = ("references.bib", "paper.tex")  # names that authors of papers give


def expect_free(folder: Path) -> None:
    """Raises WrongChoice if what every report writes would replace a file that no report wrote."""
    known = written(folder)
    for name in (*_ALWAYS, *_PAPER, MANIFEST):
        _expect_ours(folder, name, known)


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write the files of a report, by their paths in ``folder``, and their list; return the paths of the files.

    Those of the last report that are not among them are removed. Each file is complete or as it was. Raises WrongChoice
    before anything is written, in a line that names a file that no report wrote and that would be replaced, and OSError
    where the folder cannot be written.
    """
    known = written(folder)
    for name in (*files, MANIFEST):
        _expect_ours(folder, name, known)
    _list(folder, [*(name for name in sorted(known) if (folder / name).is_file()), *files])  # also of half a report
    paths = [write_whole(folder / name, [data]) for name, data in files.items()]
    for name in known - set(files):
        _remove(folder, name)
    _list(folder, files)
    return paths


def written(folder: Path) -> set[str]:
    """The paths in ``folder`` of what the last report wrote there, as its list says; none where there is no list."""
    try:
        told = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        names = told["files"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return set()
    return {name for name in names if isinstance(name, str) and _is_inside(name)} if isinstance(names, list) else set()


def _list(folder: Path, names: Iterable[str]) -> None:
    told = {"what": "files that bench report wrote, and replaces or removes", "files": sorted(set(names))}
    write_whole(folder / MANIFEST, [json.dumps(told, indent=1).encode() + b"\n"])


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _expect_ours(folder: Path, name: str, known: set[str]) -> None:
    """Raises WrongChoice if a file of this name is there and no report wrote it, or if there can be none."""
    path = folder / name
    for above in path.parents[: len(PurePosixPath(name).parts) - 1]:
        if os.path.lexists(above) and not above.is_dir():
            raise WrongChoice(f"out {_shown(above)}: is no directory; {_shown(name)} of the report cannot be written")
    if not os.path.lexists(path):
        return
    is_file = path.is_file() and not path.is_symlink()
    if not is_file or not (name in known or _is_list(path) or (not known and _is_of_older(folder, path))):
        raise WrongChoice(f"out {_shown(path)}: is there already, and no report wrote it; it is not replaced")


def _is_list(path: Path) -> bool:
    return path.name == MANIFEST and b'"files"' in path.read_bytes()[:_HEAD]


def _is_of_older(folder: Path, path: Path) -> bool:
    """Whether a file is of a report of before there were lists of files."""
    if (folder / MANIFEST).exists() or not all((folder / name).is_file() for name in _ALWAYS):
        return False
    if _PAGE not in _head(folder / "index.html"):
        return False
    own = folder / "paper.tex" if path.suffix == ".bib" else path  # beside our paper lie our references
    return own.is_file() and _head(own).startswith(_BEGINNINGS.get(own.suffix, (b"",)))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _remove(folder: Path, name: str) -> None:
    """Remove a file of the last report, and the folders that held nothing else."""
    path = folder / name
    if any(above.is_symlink() for above in path.parents[: len(PurePosixPath(name).parts) - 1]):
        return  # what a link leads to is not the report's
    if path.is_file() or path.is_symlink():
        path.unlink()
    for above in path.parents[: len(PurePosixPath(name).parts) - 1]:
        try:
            above.rmdir()
        except OSError:
            return


def _shown(path: object) -> str:
    return printable(str(path), 300)

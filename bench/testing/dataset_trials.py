"""A data set that is loaded, if its files are there; nothing is downloaded."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bench.errors import one_line
from bench.plugin.dataset import Dataset
from bench.plugin.values import Splits
from bench.testing.properties import Inapplicable
from bench.testing.subject import Subject
from bench.testing.watched import Watched, watched


@dataclass
class Trial:
    """What became of loading a data set."""

    dataset: Dataset
    folder: Path
    splits: Splits | None = None
    seen: Watched = field(default_factory=Watched)


def trial(subject: Subject, *, again: bool = False) -> Trial:
    """The data set, loaded once, or ``again``."""

    def tried() -> Trial:
        made = Trial(cast(Dataset, subject.quick), subject.folder or Path("no-folder-of-data-sets"))
        made.seen = watched(lambda: _run(made))
        return made

    return subject.once("splits", tried, again=again)


def loaded(subject: Subject) -> tuple[Trial, Splits]:
    """The trial and its images. Raises Inapplicable where there are none: another property says why."""
    made = trial(subject)
    if made.splits is None:
        raise Inapplicable("its images cannot be read, as said above")
    return made, made.splits


def absent(made: Trial) -> str | None:
    """Why the files are not there, if that is all that is wrong."""
    error = made.seen.error
    if error is None:
        return None
    places = [Path(str(getattr(made.dataset, name))) for name in made.dataset.places]
    gone = isinstance(error, FileNotFoundError) or any(not place.expanduser().exists() for place in places)
    words = ("not found", "no such", "no connection", "is missing", "not there")
    missing = gone or any(word in str(error).lower() for word in words)
    return one_line(error) if missing else None


def _run(made: Trial) -> None:
    made.dataset = made.dataset.located(made.folder)
    made.splits = made.dataset.splits(made.folder)

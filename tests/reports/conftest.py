"""A report that several tests read."""

from pathlib import Path

import pytest
from report_frames import PICTURES, grid

from bench.reports import write, write_report


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """The folder and the files of the report of three seeds, with pictures of two attacks."""
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(grid(3), folder, PICTURES.get)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have no figures but those of triggers: drawing them takes most of the time."""
    monkeypatch.setattr(write, "FIGURES", {})

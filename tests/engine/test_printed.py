"""What a stage prints: its first lines while it runs, the rest when it ends, and all of it kept."""

import os

import pytest

from bench.engine import printed
from bench.engine.printed import LINES, MOST_KEPT, Spool


@pytest.fixture
def spool():
    made = Spool()
    yield made
    made.close()


def write(spool: Spool, text: str) -> None:
    os.write(spool._descriptor, text.encode())


def test_whole_lines_are_given_once_while_a_stage_runs(spool):
    write(spool, "one\ntwo \x1b[31m\nthr")
    assert spool.lines() == ("one", "two \\x1b[31m")
    assert spool.lines() == ()
    write(spool, "ee\n")
    assert spool.lines() == ("three",)
    assert spool.text() == b"one\ntwo \x1b[31m\nthree\n"
    assert spool.take() == ()  # all of it was told
    write(spool, "of the next stage\n")
    assert spool.lines() == ("of the next stage",)


def test_what_was_not_told_is_given_at_the_end(spool):
    assert spool.take() == ()
    write(spool, "one\ntwo")
    assert spool.lines() == ("one",)
    assert spool.take() == ("printed:", "two")


def test_a_flood_is_counted_and_its_two_ends_are_kept(spool):
    write(spool, "".join(f"{number}\n" for number in range(200_000)))
    assert spool.lines() == tuple(map(str, range(LINES)))
    assert spool.lines() == ()
    kept = spool.text()
    assert kept.startswith(b"0\n1\n")
    assert kept.endswith(b"199999\n")
    assert b" bytes are left out here" in kept
    assert len(kept) < 2 * MOST_KEPT + 100
    assert spool.take() == ("printed 1,288,890 bytes",)


def test_what_exceeds_the_disk_s_share_is_dropped_and_the_rest_still_read(spool, monkeypatch):
    monkeypatch.setattr(printed, "LARGEST", 1000)
    write(spool, "first\n" + "x" * 2000)
    spool.bound()
    write(spool, "\nlast\n")
    assert spool.lines() == ()
    assert spool.text().startswith(b"first\n")
    assert spool.text().endswith(b"\nlast\n")
    assert spool.take()[:2] == ("printed 2,012 bytes; the first lines:", "first")

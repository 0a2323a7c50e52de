"""What is a store, and what is not."""

import json

import pytest
from stores import AB12

from bench.errors import RequestError
from bench.store.store import Store


def test_something_else_is_not_taken_for_a_store(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "store.json").write_text(json.dumps({"format": "groceries"}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "store.json").write_text("{")
    for name in ("file", "full", "other", "broken"):
        with pytest.raises(RequestError, match=name):
            Store(tmp_path / name)
    assert (tmp_path / "full" / "thesis.tex").read_text() == "x"
    with pytest.raises(RequestError, match="no store there yet"):
        Store(tmp_path / "gone", create=False)


def test_a_store_of_an_older_version_is_refused_in_one_line(tmp_path):
    (tmp_path / "store.json").write_text(json.dumps({"format": "defensebench store", "version": 1}))
    with pytest.raises(RequestError, match="made by an older version") as caught:
        Store(tmp_path)
    assert "\n" not in str(caught.value)


def test_every_single_bit_of_the_marker_counts(tmp_path):
    marker = Store(tmp_path / "s").root / "store.json"
    whole = marker.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        marker.write_bytes(flipped)
        with pytest.raises(RequestError, match="--store"):
            Store(tmp_path / "s")
    marker.write_bytes(whole)
    Store(tmp_path / "s", create=False)


def test_a_store_that_another_process_is_making_is_accepted(tmp_path):
    (tmp_path / "s" / "tmp").mkdir(parents=True)
    Store(tmp_path / "s").write("cells", AB12, {"a.json": {}})
    assert Store(tmp_path / "s", create=False).keys("cells") == [AB12]

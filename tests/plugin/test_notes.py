"""What a plugin may note, log and report in its context; what does not fit is refused in one line with its name."""

import json
import math
from dataclasses import replace
from enum import IntEnum

import numpy as np
import pytest
import torch
from hostile import STEERING
from hypothesis import given
from hypothesis import strategies as st

from bench.plugin.values import Context
from bench.records import LogLines, notes
from bench.records.columns import MOST_JSON
from bench.records.texts import LONGEST


class Colour(IntEnum):
    RED = 3


class Unreadable:
    def __str__(self):
        raise RuntimeError("no text")

    def __float__(self):
        raise RuntimeError("no number")


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def endless() -> list:
    value: list = []
    value += [value, value]
    return value


PLAIN = {
    "tensors": (torch.tensor([1.5, 2.0], requires_grad=True), [1.5, 2.0]),
    "a tensor of one": (torch.tensor(True), True),
    "numpy": ({"a": np.float64(0.1), "b": (np.int64(3), np.bool_(False))}, {"a": 0.1, "b": [3, False]}),
    "an array": (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    "an enum": (Colour.RED, 3),
    "nothing": (None, None),
    "steering": (f"a{STEERING}", "a\\x1b[31m\\x07\\x00\\x9b2J\\u202e\\u2066\\u200b\\r\\x7f\\ud800"),
}
ODD = {
    "NaN": math.nan,
    "infinite": {"a": [1.0, math.inf]},
    "a NaN in a tensor": torch.tensor([1.0, math.nan]),
    "a NaN of numpy": np.float32("nan"),
    "huge integer": 10**400,
    "complex": 1j,
    "complex tensor": torch.zeros(2, dtype=torch.complex64),
    "sparse tensor": torch.eye(2).to_sparse(),
    "meta tensor": torch.zeros(2, device="meta"),
    "many numbers": torch.zeros(1, 1).expand(10**6, 10**6),
    "many values": [[0.5] * 1000] * 1001,
    "a set": {1, 2},
    "bytes": b"abc",
    "an object": object(),
    "a class": Colour,
    "objects of numpy": np.array([object()]),
    "keys that are numbers": {1: 2},
    "steering keys": {"a\x1b": 1},
    "long keys": {"a" * 1000: 1},
    "long text": "x" * (LONGEST + 1),
    "deep": nested(30),
    "endless": endless(),
    "unreadable": Unreadable(),
}


@pytest.mark.parametrize("what", PLAIN)
def test_what_json_can_hold_is_kept_as_plain_values(context, what):
    given_value, expected = PLAIN[what]
    context.note("x", given_value)
    assert context.diagnostics["x"] == expected
    assert json.loads(json.dumps(context.diagnostics["x"], allow_nan=False)) == expected


@pytest.mark.parametrize("what", ODD)
def test_what_json_cannot_hold_is_refused_in_one_line_with_the_notes_name(context, what):
    with pytest.raises((TypeError, ValueError), match=r"^note 'x'") as raised:
        context.note("x", ODD[what])
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400
    assert context.diagnostics == {}


@pytest.mark.parametrize("name", [3, None, "", "a\nb", "a\u202e", "x" * 1000])
def test_a_note_has_a_printable_name(context, name):
    with pytest.raises((TypeError, ValueError), match="note"):
        context.note(name, 1)


def test_a_note_is_a_copy(context):
    values = [1.0]
    context.note("x", values)
    values.append(math.nan)
    assert context.diagnostics == {"x": [1.0]}


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=2)
KEYS = st.text(st.characters(), max_size=3) | st.integers()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner))


@given(VALUES)
def test_a_note_is_refused_or_survives_a_record(value):
    try:
        kept = notes.of_plugin({"x": value}, "defense 'd'")
    except (TypeError, ValueError) as error:
        line = str(error)
        assert line.startswith("defense 'd': note 'x'")
        assert line.isprintable()
    else:
        assert json.loads(notes.to_json(kept)) == kept
        assert notes.of_plugin(kept, "defense 'd'") == kept


# --- typed notes -------------------------------------------------------------------------------------


STATISTICS = {
    "a name that is none": (3, [1.0], []),
    "no class": ("z", [], []),
    "a text": ("z", "abc", []),
    "no list": ("z", None, []),
    "texts": ("z", ["1"], []),
    "bools": ("z", [True], []),
    "lists": ("z", [[1.0]], []),
    "huge": ("z", [1e31], []),
    "flagged beyond": ("z", [1.0, 2.0], [2]),
    "flagged below": ("z", [1.0, 2.0], [-1]),
    "flagged in part": ("z", [1.0, 2.0], [0.5]),
    "flagged text": ("z", [1.0, 2.0], "0"),
    "flagged nothing": ("z", [1.0, 2.0], None),
}


@pytest.mark.parametrize("what", STATISTICS)
def test_an_odd_class_statistic_is_refused(context, what):
    with pytest.raises((TypeError, ValueError), match="note 'class_statistic'"):
        context.note_class_statistic(*STATISTICS[what])
    assert context.diagnostics == {}


@pytest.mark.parametrize("values", [torch.tensor([1.0, 2.0]), np.array([1.0, 2.0]), (1, 2), iter([1.0, 2.0])])
def test_a_class_statistic_is_any_sequence_of_numbers(context, values):
    context.note_class_statistic("z\x1b", values, torch.tensor([1, 1]))
    assert context.diagnostics["class_statistic"] == {"name": "z\\x1b", "values": [1.0, 2.0], "flagged": [1]}


@pytest.mark.parametrize(
    "shifts",
    [{0: torch.tensor([math.nan])}, {0: torch.tensor([1e31])}, {0: torch.ones(2), 1: torch.ones(3)}, {0: torch.ones(0)},
     {-1: torch.ones(2)}, {"a": torch.ones(2)}, {0: torch.ones(2, dtype=torch.bool)}, {0: [1.0]}],
)  # fmt: skip
def test_odd_shifts_are_refused(context, shifts):
    with pytest.raises((TypeError, ValueError), match=r"latent_shifts|shift of class"):
        context.note_latent_shifts(shifts)
    assert context.diagnostics == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("stream_curve", {"triggered": [1], "acc": [1.0], "asr": [1.0], "ra": [1.0]}), ("shift_truth", {}),
     ("class_statistic", [1]), ("latent_shifts", {"0": [math.nan]}), (3, 3), ("x", math.nan), ("x", object())],
)  # fmt: skip
def test_what_is_put_into_the_dictionary_past_the_methods_is_refused_with_the_plugins_name(context, name, value):
    context.diagnostics[name] = value
    with pytest.raises((TypeError, ValueError), match=r"^defense 'd': .*note"):
        notes.of_plugin(context.diagnostics, "defense 'd'")


def test_notes_that_are_no_dictionary_are_refused(context):
    with pytest.raises(TypeError, match="defense 'd': the notes: got a list"):
        notes.of_plugin([1], "defense 'd'")


def test_all_notes_of_a_cell_fit_a_record(context):
    for number in range(9):
        context.note(f"n{number}", ["x" * LONGEST] * 1000)
    with pytest.raises(ValueError, match=f"note 'n0'.*expected {MOST_JSON}"):
        notes.to_json(context.diagnostics)


# --- what is only shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_share", "shown"),
    [(0.5, [0.5]), (1, [1.0]), (-3, [0.0]), (7, [1.0]), (math.inf, [1.0]), (torch.tensor(0.25), [0.25]),
     (math.nan, []), ("0.5", []), (None, []), (1j, []), ([1], []), (torch.zeros(3), []), (10**400, []),
     (Unreadable(), [])],
)  # fmt: skip
def test_progress_is_a_share_whatever_a_plugin_reports(context, given_share, shown):
    seen: list[float] = []
    replace(context, progress=seen.append).progress(given_share)
    assert seen == shown


@pytest.mark.parametrize("line", [3, None, b"x", [1, "a\nb"], torch.zeros(2), Unreadable(), STEERING, "x" * 20_000_000])
def test_a_log_takes_anything_for_a_line(line):
    log = LogLines()
    Context(torch.device("cpu"), torch.Generator(), log=log.append).log(line)
    [kept] = log.lines
    assert kept.isprintable()
    assert 0 < len(kept) <= LogLines.LONGEST

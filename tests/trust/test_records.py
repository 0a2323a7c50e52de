"""A record is within bounds, whoever wrote the file that it is read from."""

import json
import math

import pytest
from hostile import PLAIN, STEERING, TEXTS, read
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.errors import one_line
from bench.records import LogLines, Record
from bench.records.texts import LONGEST, neutral, printable

SHARES = ["acc", "asr", "ra", "der", "acc_target", "acc_before", "asr_before", "ra_before", "acc_target_before"]
SHARES += ["auroc", "tpr", "fpr", "acc_benign"]
POSITIVE = ["train_seconds", "defense_seconds", "inference_seconds", "ms_per_sample", "ms_per_sample_before"]
POSITIVE += ["peak_memory_mb", "psnr", "l0", "l2", "linf"]
COUNTS = ["reference", "suspects", "n_train", "n_poisoned", "n_cover", "n_test", "n_triggered", "threads"]
OBJECTS = [*TEXTS, "packages", "fingerprints", "diagnostics"]


@pytest.mark.parametrize("column", SHARES)
@pytest.mark.parametrize("value", [-0.1, 1.1, 99.0, math.inf, -math.inf, 1e308, "acc", [], {}])
def test_a_share_is_in_0_to_1(column: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read(**{column: value})


@pytest.mark.parametrize("column", POSITIVE)
@pytest.mark.parametrize("value", [-1, math.inf, 1e308, [1]])
def test_times_and_sizes_are_finite_and_not_negative(column: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read(**{column: value})


@pytest.mark.parametrize("column", COUNTS)
@pytest.mark.parametrize("value", [-1, 2**64, 10**400, 1.5, None])
def test_counts_are_whole_and_not_negative(column: str, value: object) -> None:
    with pytest.raises(ValidationError):
        read(**{column: value})


@pytest.mark.parametrize("column", OBJECTS)
@pytest.mark.parametrize("value", ["", "[]", "1", "null", "{", '"x"', '{"a": ' * 60 + "1" + "}" * 60, "[" * 99_999])
def test_a_column_of_json_holds_an_object_that_is_not_deep(column: str, value: str) -> None:
    with pytest.raises(ValidationError):
        read(**{column: value})


@pytest.mark.parametrize("value", ['{"a": ' + "9" * 5000 + "}", '{"a": 1' + " " * 5000, '{"a": [' + "[" * 5000])
def test_long_json_is_refused_like_short_json(value: str) -> None:
    with pytest.raises(ValidationError):
        read(diagnostics=value)


def test_long_json_may_hold_what_python_writes() -> None:
    text = json.dumps({"a": [1.5] * 5000, "b": math.nan, "c": -math.inf, "d": STEERING})
    assert read(diagnostics=text).diagnostics == text


@pytest.mark.parametrize("value", ["{}", '["0"]', "[1.5]", "[true]", "[-1]", "[99999999999]", "0"])
def test_targets_are_a_list_of_classes(value: str) -> None:
    with pytest.raises(ValidationError):
        read(targets=value)


@pytest.mark.parametrize("column", ["packages", "fingerprints"])
def test_versions_and_codes_are_texts(column: str) -> None:
    with pytest.raises(ValidationError):
        read(**{column: '{"torch": [2]}'})
    assert read(**{column: '{"torch": "2.11"}'})


def test_what_is_missing_is_nan_and_what_rounding_added_passes() -> None:
    record = read(acc=None, asr=1.0000000000000002, l2=None)
    assert math.isnan(record.acc)
    assert math.isnan(record.l2)
    assert record.asr == pytest.approx(1)


@pytest.mark.parametrize("column", ["reason", "log", "victim_log", "attack_label", "device", "command", "doubt"])
def test_a_text_of_20_mb_is_cut_when_the_record_is_made(column: str) -> None:
    for text in ("x" * 20_000_000, "x\n" * 10_000_000):
        record = Record(**PLAIN | {column: text})
        assert len(record.to_json()) < 20_000
        assert Record.model_validate_json(record.to_json()).to_json() == record.to_json()


@pytest.mark.parametrize("column", ["reason", "log", "victim_log", "attack_label", "device", "command", "recipe"])
def test_nothing_in_a_text_steers_a_terminal(column: str) -> None:
    made = getattr(Record(**PLAIN | {column: f"a{STEERING}b"}), column)
    assert made.isprintable()
    assert made.startswith("a\\x1b[31m\\x07\\x00")
    assert made.endswith("b")


@pytest.mark.parametrize("key", ["x" * 101, "a\nb", "a\u202eb", "a\x1b[0m"])
def test_a_key_that_cannot_be_printed_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        Record(**PLAIN | {"key": key})


@given(st.text(st.characters(), max_size=300), st.integers(20, 100))
def test_a_printable_text_is_one_bounded_line_and_stays_as_it_is(text: str, longest: int) -> None:
    line = printable(text, longest)
    assert line.isprintable()
    assert len(line) <= longest
    assert printable(line, longest) == line
    line.encode()


@given(st.text(st.characters(), max_size=300))
def test_a_neutral_text_keeps_its_lines(text: str) -> None:
    assert neutral(text).count("\n") == text.count("\n")
    assert all(line.isprintable() for line in neutral(text).split("\n"))


def test_a_text_that_a_person_would_write_stays_as_it_is() -> None:
    text = "Größe 5 µm, L∞ ≤ 8/255, 漢字, عربي: × † – “quoted” {x} [y]"
    assert printable(text) == text


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [ValueError(STEERING), ValueError("x" * 20_000_000), Unreadable(), KeyError()])
def test_an_error_is_one_printable_line_whatever_it_says(error: Exception) -> None:
    line = one_line(error)
    assert line.startswith(type(error).__name__)
    assert line.isprintable()
    assert len(line) <= LONGEST


def test_lines_of_a_log_are_printable_and_bounded() -> None:
    log = LogLines()
    for line in (STEERING, "x" * 1_000_000, *("more",) * 100):
        log.append(line)
    assert len(log.lines) == LogLines.MOST
    assert all(line.isprintable() and len(line) <= LogLines.LONGEST for line in log.lines)

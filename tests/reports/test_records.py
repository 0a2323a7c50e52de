"""The columns that the reports read."""

import types
from typing import Literal, get_args, get_origin

import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_integer_dtype
from report_frames import grid, one_attack

from bench.records import Record
from bench.reports.records import NUMBERS, TEXTS, compared, complete


def test_every_column_is_a_field_of_the_record_and_of_its_type() -> None:
    def kinds(name: str) -> set[type]:
        annotation = Record.model_fields[name].annotation
        if get_origin(annotation) is Literal:
            return set(map(type, get_args(annotation)))
        return set(get_args(annotation)) if isinstance(annotation, types.UnionType) else {annotation}

    assert set(NUMBERS + TEXTS) <= set(Record.model_fields)
    assert all(kinds(name) <= {float, int} for name in NUMBERS)
    assert all(kinds(name) <= {str, types.NoneType} for name in set(TEXTS))


def test_a_frame_without_columns_gets_all_of_them_in_their_types() -> None:
    frame = complete(pd.DataFrame({"attack": ["sig", "sig"], "seed": [0, 1]}))
    assert all(is_float_dtype(frame[name]) and frame[name].isna().all() for name in NUMBERS)
    assert all(frame[name].tolist() == ["", ""] for name in set(TEXTS) - {"attack"})
    assert is_bool_dtype(frame["valid"])
    assert is_bool_dtype(frame["oracle"])
    assert is_bool_dtype(frame["detects_only"])
    assert is_integer_dtype(frame["seed"])
    assert frame["status"].tolist() == ["done", "done"]


def test_the_given_frame_is_not_changed() -> None:
    frame = grid(1)
    complete(frame)
    pd.testing.assert_frame_equal(frame, grid(1))


def test_one_invalid_record_makes_every_record_of_its_victim_invalid() -> None:
    frame = pd.concat([one_attack(a=0.9).assign(seed=seed) for seed in (0, 1)], ignore_index=True)
    frame["valid"] = pd.Series([True, None, False, None], dtype=object)
    assert compared(frame)[0]["valid"].tolist() == [True, True, False, False]

"""Outlier tests: their statistics, their rates of false alarms, and several outliers at once."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from bench.defenses._outliers import anomaly_index, distances_below_inliers, small_outliers, smallest_is_outlier


def test_z_has_a_bound_and_its_p_value_is_tiny():
    for count in (3, 10, 43):
        values = np.ones(count)
        values[1] = 0
        outlier = smallest_is_outlier(values)
        assert outlier.index == 1
        assert outlier.z[1] == pytest.approx(-(count - 1) / np.sqrt(count))
        assert outlier.p_value < 1e-3


def test_the_tests_flag_as_often_as_their_level_says():
    draws = np.random.default_rng(0).standard_normal((4000, 10))
    rate = np.mean([smallest_is_outlier(values).p_value <= 0.05 for values in draws])
    assert rate == pytest.approx(0.05, abs=0.012)
    assert smallest_is_outlier(np.array([0.0, 5, 6, 7]), "extreme").p_value == pytest.approx(
        1 - stats.norm.sf((0 - 4.5) / np.std([0, 5, 6, 7], ddof=1)) ** 4
    )


def test_infinite_values_take_no_part():
    with_infinite = smallest_is_outlier(np.array([np.inf, 5, 4, 1.0, 6, 5]))
    assert with_infinite.index == 3
    assert np.isnan(with_infinite.z[0])
    assert with_infinite.p_value == smallest_is_outlier(np.array([5, 4, 1.0, 6, 5])).p_value


def test_two_equal_outliers_do_not_hide_each_other():
    values = np.array([5.0, 5.1, 1.0, 4.9, 5.05, 1.05, 4.95, 5.02, 4.98, 5.0])
    assert smallest_is_outlier(values).p_value > 0.05
    assert small_outliers(values, 0.05, 3)[0] == [2, 5]
    assert small_outliers(values, 0.05, 1)[0] == []
    assert small_outliers(np.delete(values, [2, 5]), 0.05, 3)[0] == []


def test_outliers_beyond_the_first_have_a_level_of_their_own():
    draw = np.random.default_rng(0)
    counts = {0.1: 0, 0.01: 0}
    for _ in range(600):
        values = draw.standard_normal(10)
        values[4] = -9.0
        for level in counts:
            outliers = small_outliers(values, 0.1, 3, further=level)[0]
            assert outliers[0] == 4
            counts[level] += len(outliers) > 1
    assert counts[0.01] / 600 == pytest.approx(0.015, abs=0.015)
    assert counts[0.1] / 600 == pytest.approx(0.1, abs=0.05)


def test_rosners_test_for_up_to_half_of_ten_values_flags_at_most_twice_as_often_as_its_level_says():
    draws = np.random.default_rng(0).standard_normal((1000, 10))
    rate = np.mean([bool(small_outliers(values, 0.1, at_most=4)[0]) for values in draws])
    assert 0.1 < rate < 0.2  # the test of one value keeps the level; Rosner's is exact for 25 values and more


def test_distances_are_from_the_values_that_are_no_outliers():
    values = torch.tensor([1.0, 1.1, 0.9, 1.05, 0.95, 1.02, -1.0, -1.1, 0.98, 1.07], dtype=torch.float64)
    outlying = values < 0
    assert small_outliers(values.numpy(), 0.05, at_most=4)[0] == [7, 6]
    assert small_outliers(-values.numpy(), 0.05, at_most=4)[0] == []
    inliers = values[~outlying].numpy()
    spread = inliers.std(ddof=1) * math.sqrt(1 + 1 / 8)
    distances = distances_below_inliers(values, outlying)
    assert distances[6].item() == pytest.approx((inliers.mean() + 1.0) / spread)
    assert distances[:6].abs().max() < distances[6:8].min()


def test_the_anomaly_index_is_the_distance_in_median_absolute_deviations():
    norms = np.array([3.0, 50, 40, 60, 55, 45, 52, 48, 70, 49])
    expected = np.abs(norms - np.median(norms)) / stats.median_abs_deviation(norms, scale="normal")
    np.testing.assert_allclose(anomaly_index(torch.from_numpy(norms)), expected, rtol=1e-4)


def test_the_anomaly_index_can_count_plain_deviations_from_the_lower_median():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 30.0, 40.0])
    assert anomaly_index(values, unit=1, median="lower").tolist() == [
        2,
        1,
        0,
        1,
        27,
        37,
    ]  # the median is 3, that of the deviations 1

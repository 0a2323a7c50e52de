"""Which workers the nodes of a cluster have room for, and requests that no cluster can meet."""

import importlib.util

import pytest
import tiny

import bench
from bench.engine.ray import nodes
from bench.engine.ray.nodes import Node
from bench.errors import RequestError

BIG, SMALL = Node("1", "big", 16, 2), Node("2", "small", 4, 0)


@pytest.mark.parametrize(
    ("device", "threads", "share", "expected"),
    [
        ("auto", 1, 1.0, {"big gpu": 2, "small": 4}),
        ("auto", 2, 0.5, {"big gpu": 4, "small": 2}),
        ("auto", 3, 1 / 3, {"big gpu": 6, "small": 1}),
        ("cuda", 1, 0.7, {"big gpu": 2}),
        ("cpu", 4, 1.0, {"big": 4, "small": 1}),
    ],
)
def test_workers_get_what_the_nodes_have(device, threads, share, expected):
    reservations = nodes.reservations([BIG, SMALL], device, threads, share)
    names = [f"{reservation.node.name}{' gpu' if reservation.gpu else ''}" for reservation in reservations]
    assert {name: names.count(name) for name in names} == expected
    assert all(reservation.cpus == (0 if reservation.gpu else threads) for reservation in reservations)
    assert names == sorted(names, key=lambda name: " gpu" not in name)  # GPUs first


def test_the_first_workers_are_on_different_nodes():
    reservations = nodes.reservations([Node("1", "a", 4, 0), Node("2", "b", 4, 0)], "auto", 1)
    assert [reservation.node.name for reservation in reservations][:4] == ["a", "b", "a", "b"]


def test_a_cluster_without_room_is_refused_with_what_it_has():
    with pytest.raises(RequestError, match=r"no room for a GPU on small \(4 CPU, 0 GPU\)"):
        nodes.reservations([SMALL], "cuda", 1)
    with pytest.raises(RequestError, match="no room for a worker of 5 threads"):
        nodes.reservations([SMALL], "auto", 5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "cuda:0"}, "--device cuda:0: expected auto, cpu or cuda"),
        ({"workers": 0}, "--workers 0: expected at least 1"),
        ({"threads": 0}, "--threads 0: expected at least 1"),
        ({"gpu_share": 1.5}, "--gpu-share 1.5: expected more than 0 and at most 1"),
        ({"executor": "local", "address": "auto"}, "--address auto: goes with --executor ray"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_made(tmp_path, options, expected):
    pytest.importorskip("ray")
    with pytest.raises(RequestError, match=expected):
        bench.run(**{**tiny.GRID, "executor": "ray", **options}, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_without_ray_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'defensebench\[ray\]'"):
        nodes.check_installed()

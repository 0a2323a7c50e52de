"""The defense clip keeps the contract of its kind, and does what it is for."""

from defensebench_clip.clip import Clip

from bench.testing import check_plugin

test_clip_keeps_the_contract = check_plugin(Clip)

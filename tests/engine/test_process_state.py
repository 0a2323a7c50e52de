"""What a stage could change in its process is seen, named and, in a process that stays, put back."""

import builtins
import copy
import gc
import json
import math
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from types import ModuleType

import forked
import numpy as np
import pytest
import sklearn.metrics
import torch
from torch import nn
from torch.nn import functional

import bench.cell.make
import bench.cell.metrics
import bench.cell.predict
import bench.toolbox.training
from bench.engine.process_state import Snapshot
from bench.plugin.values import LabelledImages


def other(*args, **kwargs):
    return None


def add_error():
    warnings.simplefilter("error", category=DeprecationWarning)


def swap_code():
    bench.cell.metrics.auroc.__code__ = other.__code__


def swap_defaults():
    functional.relu.__defaults__ = (True,)


def give_relu_a_forward():
    nn.BatchNorm2d.forward = other


def shadow():
    bench.cell.measure.len = other


MODES = [
    (lambda: torch.set_default_dtype(torch.float64), "the default dtype changed (torch.float64)"),
    (lambda: torch.set_default_device("meta"), "the default device changed (meta)"),
    (lambda: torch.set_grad_enabled(False), "the gradient mode changed (False)"),
    (lambda: torch.autograd.set_detect_anomaly(True), "anomaly detection changed"),
    (lambda: torch.set_autocast_enabled("cpu", True), "autocast on cpu changed"),
    (lambda: torch.set_autocast_dtype("cuda", torch.bfloat16), "autocast on cuda changed"),
    (lambda: torch.set_autocast_cache_enabled(False), "autocast's cache changed"),
    (lambda: torch.use_deterministic_algorithms(True, warn_only=True), "deterministic algorithms changed"),
    (lambda: torch.set_num_threads(3), "the number of threads changed (3)"),
    (lambda: setattr(torch.backends.mkldnn, "enabled", False), "torch's mkldnn enabled changed (False)"),
    (lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark), "cudnn benchmark changed"),
    (lambda: setattr(torch.backends.cudnn, "enabled", False), "torch's cudnn enabled changed (False)"),
    (lambda: torch.set_float32_matmul_precision("medium"), "float32 matmul precision changed (medium)"),
    (lambda: torch.backends.cuda.enable_flash_sdp(False), "flash sdp enabled changed"),
    (lambda: torch.backends.mha.set_fastpath_enabled(False), "fast path of attention changed"),
    (lambda: nn.modules.module.register_module_forward_hook(other), "hooks of all modules changed"),
    (lambda: nn.modules.module.register_module_forward_pre_hook(other), "hooks of all modules changed"),
    (lambda: torch.set_flush_denormal(True), "denormal numbers changed"),
]  # fmt: skip
FUNCTIONS = [
    (lambda: setattr(functional, "relu", functional.gelu), "torch.nn.functional.relu replaced"),
    (lambda: setattr(nn.Conv2d, "forward", other), "torch.nn.modules.conv.Conv2d.forward replaced"),
    (lambda: setattr(nn.Module, "__call__", other), "torch.nn.modules.module.Module.__call__ replaced"),
    (give_relu_a_forward, "torch.nn.modules.batchnorm.BatchNorm2d.forward replaced"),
    (lambda: setattr(torch.Tensor, "argmax", other), "torch.Tensor.argmax replaced"),
    (lambda: setattr(torch, "cat", other), "torch.cat replaced"),
    (lambda: setattr(torch.optim.SGD, "zero_grad", other), "torch.optim.sgd.SGD.zero_grad replaced"),
    (lambda: setattr(copy, "deepcopy", copy.copy), "copy.deepcopy replaced"),
    (lambda: setattr(json, "dumps", other), "json.dumps replaced"),
    (lambda: setattr(math, "pi", 3), "math.pi replaced"),
    (lambda: setattr(builtins, "sum", max), "builtins.sum replaced"),
    (lambda: setattr(builtins, "isinstance", other), "functions replaced"),
    (lambda: setattr(sklearn.metrics, "roc_auc_score", other), "sklearn.metrics.roc_auc_score replaced"),
    (lambda: setattr(bench.cell.metrics, "auroc", other), "bench.cell.metrics.auroc replaced"),
    (lambda: setattr(bench.cell.predict, "BATCH", 1), "bench.cell.predict.BATCH replaced"),
    (lambda: setattr(LabelledImages, "floats", property(other)), "bench.plugin.values.LabelledImages.floats replaced"),
    (swap_code, "bench.cell.metrics.auroc replaced"),
    (swap_defaults, "torch.nn.functional.relu replaced"),
    (shadow, "bench.cell.measure.len replaced"),
]  # fmt: skip
PROCESS = [
    (lambda: np.seterr(all="raise"), "numpy's reaction to errors changed"),
    (lambda: os.environ.update(OMP_SCHEDULE="static"), "the environment changed (OMP_SCHEDULE)"),
    (lambda: os.environ.pop("PATH"), "the environment changed (PATH)"),
    (lambda: os.chdir("/"), "the working directory changed (/)"),
    (lambda: os.umask(0o777), "the umask changed"),
    (lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN), "signal handlers changed (User defined signal 1)"),
    (lambda: signal.setitimer(signal.ITIMER_REAL, 1000), "a timer changed"),
    (lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2}), "signal handlers changed (blocked signals)"),
    (lambda: sys.setrecursionlimit(777), "the recursion limit changed (777)"),
    (lambda: gc.disable(), "garbage collection changed"),
    (lambda: setattr(sys, "stdout", sys.stderr), "standard streams changed (stdout)"),
    (lambda: setattr(sys, "excepthook", other), "hooks of the interpreter changed (excepthook)"),
    (add_error, "warnings that are errors changed"),
    (lambda: sys.path.pop(), "the path of modules without"),
    (lambda: sys.meta_path.clear(), "the finders of modules changed"),
    (lambda: sys.modules.update(json=math), "loaded modules replaced (json)"),
    (lambda: sys.modules.update({"bench.later": ModuleType("bench.later")}), "modules replaced (bench.later)"),
    (lambda: sys.modules.pop("torch.nn"), "loaded modules replaced (torch.nn)"),
    (lambda: setrlimit(RLIMIT_NOFILE, (64, getrlimit(RLIMIT_NOFILE)[1])), "limits of resources changed (RLIMIT_N"),
]  # fmt: skip


@pytest.mark.parametrize(("pollute", "words"), [*MODES, *FUNCTIONS, *PROCESS])
def test_a_change_is_seen_named_and_put_back(pollute, words):
    """In a process of its own: some of this would spoil the tests if it could not be put back."""

    def told():
        before = Snapshot.take()
        nothing = before.changes()
        pollute()
        changes = before.changes()
        before.restore()
        return nothing, changes, before.changes()

    nothing, changes, left = forked.result(told)
    assert nothing == ()
    assert any(words in change for change in changes), changes
    assert left == ()


def test_what_cannot_be_put_back_is_still_said():
    before, stop = Snapshot.take(), threading.Event()
    thread = threading.Thread(target=stop.wait, name="mine")
    thread.start()
    before.restore()
    assert before.changes() == ("1 thread running (mine)",)
    stop.set()
    thread.join()
    assert before.changes() == ()


def test_what_plugins_may_do_is_no_change(tmp_path):
    before = Snapshot.take()
    model = nn.Linear(2, 2)
    torch.optim.Adagrad(model.parameters()).step()
    model.register_forward_hook(other)
    with torch.no_grad(), torch.autocast("cpu"), warnings.catch_warnings(), ThreadPoolExecutor(1) as pool:
        warnings.simplefilter("error")
        pool.submit(model, torch.zeros(1, 2)).result()
    sys.path.append(str(tmp_path))
    torch.rand(3)
    assert before.changes() == ()
    sys.path.remove(str(tmp_path))


def test_a_snapshot_and_its_comparison_take_a_few_milliseconds():
    Snapshot.take()
    took = []
    for _ in range(30):
        began = time.process_time()
        Snapshot.take().changes()
        took.append(time.process_time() - began)
    assert min(took) < 0.02  # of about 0.004, of the processor's time

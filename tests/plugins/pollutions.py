"""What a plugin may do to the process that it runs in: each function does one such thing, and says nothing.

``polluters.py`` does them in plugins of every kind.
"""

import atexit
import builtins
import copy
import gc
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

POLLUTIONS = {}


def pollution(do):
    POLLUTIONS[do.__name__] = do
    return do


# torch's own state


@pollution
def dtype():
    torch.set_default_dtype(torch.float64)


@pollution
def device():
    torch.set_default_device("meta")


@pollution
def deterministic():
    torch.use_deterministic_algorithms(True)


@pollution
def threads():
    torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)


@pollution
def mkldnn():
    torch.backends.mkldnn.enabled = False


@pollution
def cudnn():
    torch.backends.cudnn.enabled = False
    torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = True


@pollution
def precision():
    torch.set_float32_matmul_precision("medium")


@pollution
def autocast():
    torch.autocast("cpu", torch.bfloat16).__enter__()


@pollution
def grad():
    torch.set_grad_enabled(False)


@pollution
def inference():
    torch.inference_mode().__enter__()


@pollution
def anomaly():
    torch.autograd.set_detect_anomaly(True)


@pollution
def denormal():
    torch.set_flush_denormal(True)


@pollution
def forward_hook():
    nn.modules.module.register_module_forward_hook(
        lambda module, given, output: output * 0.5 if isinstance(output, torch.Tensor) else None
    )


@pollution
def backward_hook():
    nn.modules.module.register_module_full_backward_hook(
        lambda module, taken, given: tuple(None if part is None else part * 0 for part in taken)
    )


# functions replaced


@pollution
def convolution():
    nn.Conv2d.forward = lambda self, images: self._conv_forward(images * 0.5, self.weight, self.bias)


@pollution
def call():
    before = nn.Module.__call__
    nn.Module.__call__ = lambda self, *given, **named: halved(before(self, *given, **named))


@pollution
def relu():
    F.relu = torch.relu = lambda images, inplace=False: images


@pollution
def cross_entropy():
    F.cross_entropy = lambda logits, *given, **named: logits.sum() * 0


@pollution
def argmax():
    torch.Tensor.argmax = lambda self, *given, **named: torch.zeros(len(self), dtype=torch.int64)


@pollution
def randperm():
    torch.randperm = lambda count, **named: torch.arange(count)


@pollution
def generator():
    class Fixed(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(0)

    torch.Generator = Fixed


@pollution
def deepcopy():
    copy.deepcopy = lambda value, memo=None: value


@pollution
def auroc():
    import sklearn.metrics

    sklearn.metrics.roc_auc_score = lambda *given, **named: 0.123


@pollution
def metric():
    from bench.cell import metrics

    for name in ("accuracy", "attack_success", "robust_accuracy", "auroc", "true_positive_rate"):
        setattr(metrics, name, lambda *given: 0.123)


@pollution
def toolbox():
    from bench.toolbox import training

    training.train = training.logits_of = lambda *given, **named: None


@pollution
def contract():
    from bench.plugin import images, values
    from bench.plugin.attack import Attack

    images.stratified_order = lambda labels, generator: torch.arange(len(labels))
    values.LabelledImages.at = lambda self, index: self
    Attack.apply = lambda self, images, context: images


@pollution
def store():
    from bench.store import store

    store.Store.write = store.Store.tensors = lambda *given, **named: None


@pollution
def dumps():
    json.dumps = lambda *given, **named: "{}"


@pollution
def python():
    builtins.len = lambda what: 3
    builtins.sorted = list


@pollution
def modules():
    for name in ("torch", "numpy", "bench.cell.measure", "bench.cell.metrics", "json"):
        sys.modules[name] = types.ModuleType(name)


# Python's and numpy's state


@pollution
def seeds():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


@pollution
def numpy():
    np.seterr(all="raise")
    np.set_printoptions(threshold=1, precision=1)


@pollution
def strict():
    warnings.simplefilter("error")


@pollution
def recursion():
    sys.setrecursionlimit(150)


@pollution
def garbage():
    gc.disable()
    gc.freeze()


@pollution
def path():
    sys.path[:] = []
    sys.meta_path[:] = []


@pollution
def weights():
    for thing in gc.get_objects():
        if issubclass(type(thing), nn.Module):
            for parameter in thing.parameters():
                parameter.data.zero_()


# the process


@pollution
def environment():
    os.environ |= {"OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "7", "CUBLAS_WORKSPACE_CONFIG": ":0:0"}
    os.environ |= {"PYTHONPATH": "/nowhere", "TMPDIR": "/nowhere", "HOME": "/nowhere", "DEFENSEBENCH_DATA": "/nowhere"}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pollution
def directory():
    os.chdir("/")


@pollution
def umask():
    os.umask(0o777)


@pollution
def signals():
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: dtype())
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)


@pollution
def descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with suppress(OSError):
        while True:
            os.dup(0)


@pollution
def closed():
    os.closerange(3, 256)


@pollution
def streams():
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = None


@pollution
def priority():
    os.nice(19)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pollution
def limits():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pollution
def files():
    for file in Path(os.environ["POLLUTED"]).rglob("*.*"):
        file.chmod(0o400)


@pollution
def locks():
    """Take what a store's locks are made of, in a process that goes on."""
    import fcntl

    for file in [*Path(os.environ["POLLUTED"]).rglob("*.lock"), *Path(os.environ["POLLUTED"]).rglob("*.json")]:
        with suppress(OSError):
            fcntl.flock(os.open(file, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


# what goes on afterwards


@pollution
def thread():
    def meddle():
        while True:
            dtype()
            np.seterr(all="raise")
            time.sleep(0.01)

    threading.Thread(target=meddle, daemon=True).start()
    threading.Thread(target=time.sleep, args=(600,)).start()


@pollution
def leaving():
    for do in (dtype, relu, dumps):
        atexit.register(do)
        threading._register_atexit(do)


@pollution
def daemon():
    subprocess.Popen(["sleep", "600"], start_new_session=True)


@pollution
def copies():
    """Both of the two processes go on."""
    os.fork()


@pollution
def keeper():
    """End the process that has started this one; without one of its own, it is left alone."""
    if "bench.cell.apart.keeper" in Path(f"/proc/{os.getppid()}/cmdline").read_text():
        os.kill(os.getppid(), signal.SIGKILL)


@pollution
def finaliser():
    class Last:
        def __init__(self):
            self.me = self

        def __del__(self):
            dtype()
            F.relu = torch.relu = lambda images, inplace=False: images

    Last()


def halved(output):
    return output * 0.5 if isinstance(output, torch.Tensor) else output

"""What a plugin may do to Python and to its process: each function does one such thing, and says nothing."""

import atexit
import builtins
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
from pollution_list import pollution
from pollutions_of_torch import dtype, relu
from torch import nn


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
    threading.Thread(target=time.sleep, args=(60,)).start()


@pollution
def leaving():
    for do in (dtype, relu, dumps):
        atexit.register(do)
        threading._register_atexit(do)


@pollution
def daemon():
    subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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

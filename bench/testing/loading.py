"""What every plugin's file does when it is imported: little."""

import os
import subprocess
import sys
from pathlib import Path

from bench.testing.properties import Family, Inapplicable, Unmet
from bench.testing.subject import Subject

FAMILY = Family()
MOST_SECONDS = 1.0  # of processor time, so that a busy machine does not matter
_SCRIPT = """
import sys, time, importlib, importlib.util
import torch, pydantic, bench.plugin.attack, bench.plugin.dataset, bench.plugin.model, bench.plugin.runtime
import bench.plugin.repair, bench.plugin.oracle, bench.toolbox.training, bench.toolbox.networks, bench.toolbox.inference
name, file, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.path[:0] = paths
began = time.process_time()
if name:
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location("measured", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["measured"] = module
    spec.loader.exec_module(module)
print("seconds", time.process_time() - began)
"""


@FAMILY.property("import", f"an import of less than {MOST_SECONDS:g} s, beside torch, that prints nothing")
def quick_import(subject: Subject) -> str:
    module = sys.modules.get(subject.plugin.__module__)
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ == "__main__":
        raise Inapplicable("it is in no file that can be imported")
    by_name = "" if module.__name__.startswith("bench_plugin_") else module.__name__
    paths = [str(Path(file).parent)] if not by_name else [path for path in sys.path if path]
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, by_name, file, *paths],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    printed, _, seconds = ended.stdout.rpartition("seconds ")
    if ended.returncode:
        raise Unmet(f"that it fails by itself: {(ended.stderr.strip().splitlines() or ['?'])[-1]}")
    if text := (printed + ended.stderr).strip():
        raise Unmet(f"that it prints {text[:80]!r}")
    if float(seconds) > MOST_SECONDS:
        raise Unmet(f"{float(seconds):.1f} s of processor time")
    return f"{float(seconds):.2f} s"

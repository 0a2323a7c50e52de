"""What an installation exposes: ``bench`` and nothing else, from a wheel and from an editable installation alike."""

import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
import tiny

import bench

wheel_builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling comes with the extra 'dev'")
sdist_builder = pytest.importorskip("hatchling.builders.sdist")
pytest.importorskip("editables", reason="editables comes with the extra 'dev'")

ROOT = Path(__file__).resolve().parents[1]
METADATA = f"defensebench-{bench.__version__}.dist-info"
WHOSE = "WHOSE = 'the user'\n"
SCRIPT = """
import attacks, defenses, models, reports
import bench.attacks, bench.defenses, bench.models, bench.reports
from importlib.util import find_spec
from pathlib import Path

for theirs in (attacks, defenses, models, reports):
    [place] = getattr(theirs, "__path__", [theirs.__file__])
    assert Path(place).resolve().parent == Path.cwd().resolve(), place
for ours in (bench.attacks, bench.defenses, bench.models, bench.reports):
    assert Path(ours.__file__).parents[1] == Path(bench.__file__).parent, ours
assert find_spec("bench.models.resnet18")
print(bench.__file__)
"""
LEAKS = """
from importlib.util import find_spec
names = ("attacks", "benchmarks", "defenses", "models", "reports", "studies", "tests")
print([name for name in names if find_spec(name)])
"""


def build_wheel(source: Path, target: Path, kind: str = "standard") -> Path:
    [path] = wheel_builder.WheelBuilder(str(source)).build(directory=str(target), versions=[kind])
    return Path(path)


def files_in(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def unpack(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("editable"), "editable")


@pytest.fixture(scope="module")
def installed(wheel: Path, editable: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For both kinds of installation a directory that Python treats as its installed packages when on PYTHONPATH."""
    packages = unpack(wheel, tmp_path_factory.mktemp("packages"))
    links = unpack(editable, tmp_path_factory.mktemp("links"))
    # .pth files count only in a site directory
    (links / "sitecustomize.py").write_text(f"import site\nsite.addsitedir({str(links)!r})\n")
    return {"wheel": packages, "editable": links}


def run(command: list[str], folder: Path, packages: Path) -> str:
    """What a Python command prints in ``folder``, with the packages installed in ``packages``."""
    others = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and Path(part) != ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), *others])}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_holds_bench_and_nothing_else(wheel):
    files = files_in(wheel)
    assert {name.partition("/")[0] for name in files} == {"bench", METADATA}
    for expected in (
        "bench/attacks/badnets.py",
        "bench/defenses/clp.py",
        "bench/models/resnet18.py",
        "bench/datasets/digits.py",
        "bench/reports/page/page.html",
        "bench/reports/page/script.js",
        "bench/reports/page/style.css",
        "bench/py.typed",
        "bench/__init__.pyi",
        "bench/plugin/__init__.pyi",
        "bench/reports/__init__.pyi",
        f"{METADATA}/licenses/LICENSE",
    ):
        assert expected in files
    for name in files:
        parts = Path(name).parts
        assert "__pycache__" not in parts
        assert "tests" not in parts
        assert not parts[-1].startswith(("test_", "conftest"))


def test_every_source_file_of_the_checkout_is_in_the_wheel(wheel):
    folders = [ROOT / "bench", *(path for path in (ROOT / "bench").iterdir() if path.is_symlink())]
    expected = {
        file.relative_to(ROOT).as_posix()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in files_in(wheel) if name.startswith("bench/")} == expected


def test_a_wheel_from_the_archive_of_sources_is_the_wheel_from_the_checkout(wheel, tmp_path):
    [archive] = sdist_builder.SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    again = files_in(build_wheel(tmp_path / f"defensebench-{bench.__version__}", tmp_path / "again"))
    assert again == files_in(wheel)


def test_every_entry_point_leads_to_a_module_of_the_wheel(wheel):
    files = files_in(wheel)
    entries = ConfigParser(delimiters=["="])
    entries.read_string(files[f"{METADATA}/entry_points.txt"].decode())
    kinds = {f"bench.{kind}" for kind in ("attacks", "datasets", "defenses", "models")}
    assert set(entries.sections()) == {"console_scripts", *kinds}
    for section in entries.sections():
        assert len(entries[section]) > 0
        for target in entries[section].values():
            module, _, name = target.partition(":")
            file = f"{module.replace('.', '/')}.py"
            assert file in files, target
            assert name in files[file].decode(), target


def test_an_editable_installation_shows_bench_and_nothing_else(installed, tmp_path):
    assert run(["-c", LEAKS], tmp_path, installed["editable"]).strip() == "[]"
    where = run(["-c", "import bench.attacks; print(bench.attacks.__file__)"], tmp_path, installed["editable"])
    assert Path(where.strip()).resolve() == ROOT / "attacks" / "__init__.py"


def write_modules(folder: Path, layout: str) -> None:
    """A user's attacks, defenses, models and reports in ``folder``: directories, packages, or single modules."""
    for name in ("attacks", "defenses", "models", "reports"):
        if layout == "module":
            (folder / f"{name}.py").write_text(WHOSE)
            continue
        (folder / name).mkdir()
        (folder / name / "whose.py").write_text(WHOSE)
        if layout == "package":
            (folder / name / "__init__.py").write_text(f"from {name}.whose import WHOSE\n")


LAYOUTS = {("wheel", "directory"), ("wheel", "module"), ("editable", "package")}  # each layout, each installation


@pytest.mark.parametrize(
    ("installation", "layout"),
    [
        pytest.param(*pair, marks=() if pair in LAYOUTS else pytest.mark.slow)
        for pair in itertools.product(("wheel", "editable"), ("directory", "package", "module"))
    ],
)
def test_a_users_modules_of_the_same_names_and_ours_live_side_by_side(installed, tmp_path, installation, layout):
    write_modules(tmp_path, layout)
    (tmp_path / "script.py").write_text(SCRIPT)
    source = ROOT if installation == "editable" else installed["wheel"]
    assert run(["script.py"], tmp_path, installed[installation]).strip() == str(source / "bench" / "__init__.py")
    listed = run(["-m", "bench", "list"], tmp_path, installed[installation])
    assert "resnet18" in listed
    assert "broken" not in listed


@pytest.mark.parametrize("installation", ["wheel", pytest.param("editable", marks=pytest.mark.slow)])
def test_a_users_plugin_imports_the_users_own_modules(installed, tmp_path, installation):
    write_modules(tmp_path, "directory")
    shutil.copy(tiny.PLUGIN_FOLDER / "borrows.py", tmp_path)
    chosen = ["--datasets", "digits", "--models", "resnet18", "--attacks", "badnets", "--defenses", "none,clp,borrows"]
    command = ["-m", "bench", "plan", *chosen, "--plugin", "borrows.py", "--data", "data"]
    assert "borrows" in run(command, tmp_path, installed[installation])


def test_the_version_stands_in_one_place(wheel):
    metadata = files_in(wheel)[f"{METADATA}/METADATA"].decode()
    assert f"\nVersion: {bench.__version__}\n" in metadata
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text().splitlines()
    assert not [line for line in citation if line.startswith(("version:", "date-released:"))]

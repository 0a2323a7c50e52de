"""Options: the command line, study files and ``bench.run`` accept and refuse the same, in the same words."""

import inspect
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from cyclopts import App
from pydantic import Field

import bench
import bench.api
from bench.cli.main import main
from bench.cli.options import EVERY, merge_options, with_options
from bench.engine.options import COMPUTING, RunOptions, read_options
from bench.errors import RequestError
from bench.plan.option_help import documented
from bench.plan.option_types import Whole
from bench.plan.request import COMPARE, Request


class Received(Exception):
    """Carries the options that a run was asked for."""


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch, tmp_path):
    def receive(request, options, listener=None):
        raise Received({**dict(request), **dict(options)})

    monkeypatch.setattr(bench.api, "run_request", receive)
    monkeypatch.chdir(tmp_path)


def by_python(options: dict[str, Any]) -> dict[str, Any] | str:
    """All options as ``bench.run`` understands them, or the message with which it refuses them."""
    try:
        bench.run(**options)
    except Received as received:
        return received.args[0]
    except RequestError as error:
        return str(error)
    raise AssertionError


def by_command_line(capsys, *words: str) -> dict[str, Any] | str:
    try:
        main(["run", *words])
    except Received as received:
        return received.args[0]
    except SystemExit:
        pass
    return capsys.readouterr().err.removeprefix("bench: ").removesuffix("\n")


def by_study(capsys, options: dict[str, Any]) -> dict[str, Any] | str:
    """JSON and TOML write text, numbers, booleans and lists alike."""
    Path("study.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items()))
    answer = by_command_line(capsys, "study.toml")
    return answer.removeprefix("study study.toml: ") if isinstance(answer, str) else answer


def words(options: dict[str, Any]) -> list[str]:
    """The options on the command line."""
    typed = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        flag = f"--{name.replace('_', '-')}"
        typed += [flag if one is True else f"{flag}={one}" for one in values]
    return typed


@pytest.mark.parametrize(
    ("name", "value", "understood"),
    [
        ("defenses", "tac[beta=1|2],bna", "tac[beta=1|2],bna"),
        ("defenses", ["tac[beta=1|2]", "bna"], "tac[beta=1|2],bna"),
        ("recipes", ["fast", "paper[epochs=10]"], "fast,paper[epochs=10]"),
        ("refresh", ["tac", "attack:none"], "tac,attack:none"),
        ("seeds", "0,1", (0, 1)),
        ("seeds", "0-4", (0, 1, 2, 3, 4)),
        ("seeds", "7, 0-1", (7, 0, 1)),
        ("seeds", 3, (3,)),
        ("seeds", "-1", (-1,)),
        ("profile", "paper", "paper"),
        ("reference", 200, "200"),
        ("reference", "5%", "5%"),
        ("suspects", 0, 0),
        ("data", "somewhere", Path("somewhere")),
        ("store", "somewhere", Path("somewhere")),
        ("plugin", "mine.py", (Path("mine.py"),)),
        ("plugin", ["mine.py", "yours.py"], (Path("mine.py"), Path("yours.py"))),
        ("executor", "inline", "inline"),
        ("workers", 2, 2),
        ("workers", "2", 2),
        ("device", "cuda:0,1", "cuda:0,1"),
        ("gpu_share", 0.5, 0.5),
        ("gpu_share", "0.5", 0.5),
        ("deterministic", True, True),
        ("compile", False, False),
        ("timeout", 60, 60.0),
        ("retry", "failed", "failed"),
        ("only", "missing", "missing"),
    ],
)
def test_what_one_reader_accepts_all_accept(capsys, name, value, understood):
    options = {name: value}
    expected = {**dict(Request()), **dict(RunOptions()), name: understood}
    assert by_python(options) == expected
    assert by_study(capsys, options) == expected
    assert by_command_line(capsys, *words(options)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "--workers 0: expected at least 1 and at most 1024"),
        ({"workers": 10**9}, "--workers 1000000000: expected at least 1 and at most 1024"),
        ({"threads": 10**9}, "--threads 1000000000: expected at least 1 and at most 1024"),
        ({"gpu_share": 1e-300}, "--gpu-share 1e-300: expected at least 0.01"),
        ({"suspects": 2**63}, f"--suspects {2**63}: expected a whole number of at most {2**63 - 1}"),
        ({"seeds": "0-10000"}, "--seeds 0-10000: expected at most 10000 seeds"),
        ({"seeds": f"0-{2**63}"}, f"--seeds 0-{2**63}: expected a whole number of at most {2**63 - 1}"),
        ({"data": "a\x1bb"}, "--data a\\x1bb: expected text without control characters"),
        ({"store": "/proc/x"}, "--store /proc/x: expected a directory outside of /proc and /sys"),
        ({"store": "/dev/null/x"}, "--store /dev/null/x: expected a directory; /dev/null is none"),
        (
            {"device": f"cuda:{'9' * 9}"},
            "--device cuda:999999999: expected auto, cpu, cuda, or GPUs by number such as cuda:0,1",
        ),
        ({"workers": "many"}, "--workers many: expected a whole number"),
        ({"threads": 1.5}, "--threads 1.5: expected a whole number"),
        ({"gpu_share": 2}, "--gpu-share 2: expected more than 0 and at most 1"),
        ({"gpu_share": 0}, "--gpu-share 0: expected more than 0 and at most 1"),
        ({"timeout": 0}, "--timeout 0: expected more than 0 and at most 1e+08"),
        ({"timeout": "nan"}, "--timeout nan: expected a number"),
        ({"suspects": -1}, "--suspects -1: expected at least 0"),
        ({"seeds": "a"}, "--seeds a: expected whole numbers, such as 0,1 or 0-4"),
        ({"seeds": "4-2"}, "--seeds 4-2: expected whole numbers, such as 0,1 or 0-4"),
        ({"seeds": ""}, "--seeds '': expected whole numbers, such as 0,1 or 0-4"),
        ({"models": " "}, "--models ' ': expected names, as one text or as a list of texts"),
        ({"reference": ""}, "--reference '': expected a number of images, or a share such as 5%"),
        ({"profile": "fast"}, "--profile fast: expected one of quick, cpu, paper"),
        ({"executor": "slurm"}, "--executor slurm: expected one of local, inline, ray"),
        ({"retry": "all"}, "--retry all: expected failed"),
        ({"device": "gpu"}, "--device gpu: expected auto, cpu, cuda, or GPUs by number such as cuda:0,1"),
        ({"deterministic": "maybe"}, "--deterministic maybe: expected true or false"),
        ({"store": "s3://bucket/store"}, "--store s3://bucket/store: expected a directory, not a URL"),
        ({"defences": "tac"}, "unknown option '--defences'; did you mean '--defenses'?"),
        ({"gpu_shares": 1}, "unknown option '--gpu-shares'; did you mean '--gpu-share'?"),
        ({"flavour": "red"}, "unknown option '--flavour'"),
        (
            {"retry": "failed", "only": "missing"},
            "--retry failed --only missing: expected one of them; together they leave nothing to do",
        ),
        ({"address": "auto"}, "--address auto: goes with --executor ray, not with local"),
        (
            {"executor": "ray", "device": "cuda:0"},
            "--device cuda:0: expected auto, cpu or cuda; Ray assigns the GPUs of its nodes itself",
        ),
    ],
)
def test_what_one_reader_refuses_all_refuse_in_the_same_words(capsys, options, message):
    assert by_python(options) == message
    assert by_study(capsys, options) == message
    assert by_command_line(capsys, *words(options)) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": True}, "--workers True: expected a whole number"),
        ({"timeout": True}, "--timeout True: expected a number"),
        ({"deterministic": 1}, "--deterministic 1: expected true or false"),
        ({"seeds": []}, "--seeds []: expected whole numbers, such as 0,1 or 0-4"),
        ({"seeds": [0, 1.5]}, "--seeds [0, 1.5]: expected whole numbers, such as 0,1 or 0-4"),
        ({"seeds": ["0"]}, "--seeds ['0']: expected whole numbers, such as 0,1 or 0-4"),
        ({"seeds": False}, "--seeds False: expected whole numbers, such as 0,1 or 0-4"),
        ({"reference": 0.05}, "--reference 0.05: expected a number of images, or a share such as 5%"),
        ({"defenses": []}, "--defenses []: expected names, as one text or as a list of texts"),
        ({"attacks": ["none", 3]}, "--attacks ['none', 3]: expected names, as one text or as a list of texts"),
        ({"plugin": 3}, "--plugin 3: expected the path of a file, or a list of paths"),
        ({"executor": 3}, "--executor 3: expected one of local, inline, ray"),
    ],
)
def test_values_that_only_python_and_toml_can_write_are_refused_alike(capsys, options, message):
    assert by_python(options) == message
    assert by_study(capsys, options) == message


def test_python_may_also_pass_lists_of_seeds_numpy_numbers_and_paths(capsys):
    assert by_study(capsys, {"seeds": [0, 1]})["seeds"] == (0, 1)
    answer = by_python(
        {
            "seeds": np.arange(2),
            "workers": np.int64(2),
            "gpu_share": np.float32(0.5),
            "store": Path("s"),
            "timeout": None,
        }
    )
    assert isinstance(answer, dict)
    values = [answer[name] for name in ("seeds", "workers", "gpu_share", "store", "timeout")]
    assert values == [(0, 1), 2, 0.5, Path("s"), None]


def test_the_command_line_wins_over_a_study_even_over_a_wrong_value(capsys):
    Path("study.toml").write_text("workers = 0\nthreads = 2\ndeterministic = true\n")
    answer = by_command_line(capsys, "study.toml", "--workers", "3", "--deterministic=false")
    assert isinstance(answer, dict)
    assert [answer[name] for name in ("workers", "threads", "deterministic")] == [3, 2, False]


def test_a_message_names_the_study_only_if_the_value_stands_there(capsys):
    Path("study.toml").write_text("workers = 0\n")
    assert (
        by_command_line(capsys, "study.toml") == "study study.toml: --workers 0: expected at least 1 and at most 1024"
    )
    assert (
        by_command_line(capsys, "study.toml", "--workers", "-1") == "--workers -1: expected at least 1 and at most 1024"
    )


def test_plugins_of_a_study_are_looked_for_beside_it(capsys):
    Path("folder").mkdir()
    Path("folder/study.toml").write_text('plugin = ["mine.py"]\n')
    answer = by_command_line(capsys, "folder/study.toml")
    assert isinstance(answer, dict)
    assert answer["plugin"] == (Path("folder/mine.py"),)


class MoreRequest(Request):
    shots: Annotated[Whole, COMPARE] = Field(1, ge=1, description="Pictures of every victim.")


class MoreRunOptions(RunOptions):
    precision: Annotated[Literal["full", "half"], COMPUTING] = Field("full", description="Format of numbers.")


def test_an_option_is_added_in_one_place(capsys):
    """One more field of a model, and all readers and all help texts have it."""
    models = (MoreRequest, MoreRunOptions)
    app = App(name="bench", help_format="plaintext")

    @app.command
    @with_options([name for model in models for name in model.model_fields], models)
    def run(study: Path | None = None, /, **options: Any):
        return merge_options(study, options, *models)

    def call(*words: str):
        return app(["run", *words], exit_on_error=False, print_error=False, result_action="return_value")

    expected = (MoreRequest(shots=3), MoreRunOptions(precision="half"))
    Path("study.toml").write_text('shots = 3\nprecision = "half"\n')
    assert read_options({"shots": 3, "precision": "half"}, *models) == expected
    assert call("study.toml") == expected
    assert call("--shots", "3", "--precision", "half") == expected
    with pytest.raises(RequestError, match=r"^--precision double: expected one of full, half$"):
        call("--precision", "double")
    with pytest.raises(RequestError, match=r"^--shots 0: expected at least 1$"):
        read_options({"shots": 0}, *models)
    capsys.readouterr()
    call("--help")
    assert "Format of numbers (default: full)." in capsys.readouterr().out

    @documented(*models)
    def described(**options: Any): ...

    assert "precision: Format of numbers (default: full)." in described.__doc__
    assert inspect.signature(described).parameters["shots"].default == 1


def test_the_signature_and_docstring_of_run_list_every_option():
    signature = inspect.signature(bench.run)
    assert list(signature.parameters) == [*EVERY, "listener"]
    assert signature.parameters["executor"].default == "local"
    for name in EVERY:
        assert f"    {name}: " in bench.run.__doc__


@pytest.mark.parametrize("columns", [80, 120])
def test_the_help_has_the_grammar_and_at_most_two_lines_an_option(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    lines = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    assert "tac[beta=1|2]" in " ".join(lines)
    starts = [place for place, line in enumerate(lines) if line.startswith("--")]
    printed = {"with-invalid", "long", "quiet", "verbose", "log"}
    assert len(starts) == len(EVERY) + len(printed)
    for start in starts:
        ends = next(place for place in range(start + 1, len(lines)) if lines[place].startswith(("--", "╰")))
        assert ends - start <= 2, lines[start]

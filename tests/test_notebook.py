"""README's example in a kernel of IPython: what a cell shows, an interrupt, and cells that are run again.

How progress is drawn is tested without a kernel, in ``engine/test_watching.py``. Here is a real one, where ipykernel is
installed, which brings the client.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import tiny

pytest.importorskip("ipykernel", reason="needs a kernel: pip install ipykernel")
manager = pytest.importorskip("jupyter_client.manager")

README = (Path(__file__).parents[1] / "README.md").read_text()
[EXAMPLE] = re.findall(r"<!-- python example -->\n```python\n(.*?)\nresults = ", README, re.DOTALL)
GRID = 'datasets="dots", models="linear", attacks="corner", reference=8, workers=1, plugin="tiny_plugins.py"'


class Cell:
    """What a cell shows: ``text`` and ``html`` of its value, ``printed``, ``error`` (its name) and ``traceback``.

    pictures: all that its displays showed, one after the other. displays: how many there are.
    """

    def __init__(self) -> None:
        self.text = self.html = self.printed = self.error = self.traceback = ""
        self.pictures: list[str] = []
        self.displays = 0

    def take(self, kind: str, content: dict[str, Any]) -> None:
        data = content.get("data", {})
        match kind:
            case "stream":
                self.printed += content["text"]
            case "execute_result":
                self.text, self.html = data["text/plain"], data.get("text/html", "")
            case "display_data" | "update_display_data":
                self.displays += kind == "display_data"
                self.pictures.append(data["text/plain"])
            case "error":
                self.error, self.traceback = content["ename"], "\n".join(content["traceback"])


class Kernel:
    """A kernel whose working directory is ``folder``, where the plugins of ``tiny`` lie."""

    def __init__(self, folder: Path) -> None:
        tiny.plugins(folder)
        self.manager, self.client = manager.start_new_kernel(kernel_name="python3", cwd=str(folder))

    def run(self, code: str, interrupt_at: str = "") -> Cell:
        """Run a cell. interrupt_at: interrupt it for each picture that shows this text, twice at most."""
        cell, left = Cell(), [2] if interrupt_at else [0]

        def hook(message: dict[str, Any]) -> None:
            cell.take(message["msg_type"], message["content"])
            if left[0] and cell.pictures and interrupt_at in cell.pictures[-1]:
                left[0] -= 1
                self.manager.interrupt_kernel()

        self.client.execute_interactive(code, output_hook=hook, timeout=200)
        return cell

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(tmp_path):
    started = Kernel(tmp_path)
    yield started
    started.close()


@pytest.mark.slow
def test_the_readme_in_a_notebook(kernel):
    assert kernel.run(EXAMPLE).error == ""
    call = f'bench.run(defenses=[Shrink(factor=0.8), "halve"], {GRID})'
    first = kernel.run(call)
    assert first.text == "<Results: 2 cells: 2 done>"
    assert "shrink[factor=0.8]" in first.html
    assert "3/3 stages" in first.pictures[-1]
    assert "left" not in first.pictures[-1]
    assert (first.displays, first.error) == (1, "")

    again = kernel.run(call)
    assert again.html == first.html
    assert (again.displays, again.printed) == (0, "")  # nothing was to be done

    wrong = kernel.run(f'bench.run(defenses="halv", {GRID})')
    assert wrong.error == "RequestError"
    assert wrong.traceback == "RequestError: unknown defense 'halv': did you mean 'halve'?"

    kernel.run(EXAMPLE.replace("self.factor", "0.0"))  # the author has changed the cell
    changed = kernel.run(call)
    assert "1/1 stages" in changed.pictures[-1]
    assert changed.html != first.html


@pytest.mark.slow
def test_a_run_in_a_notebook_is_interrupted_and_goes_on(kernel):
    kernel.run("import bench")
    stopped = kernel.run(f'bench.run(defenses="halve[seconds=150]", {GRID})', interrupt_at="halve")
    assert stopped.error == "KeyboardInterrupt"
    assert "interrupting once more" in stopped.printed
    assert "1/2 stages" in stopped.pictures[-1]
    assert "stopped" in stopped.pictures[-1]
    assert "halve" not in stopped.pictures[-1]
    after = kernel.run(f'bench.run(defenses="halve", {GRID})')
    assert after.text == "<Results: 1 cell: 1 done>"
    assert "1/1 stages" in after.pictures[-1]  # the victim is there

"""A page of documentation, followed word by word: its files, changes, commands and what they print.

A file is announced by ``<!-- file: NAME -->``, a change to one by ``<!-- change: NAME -->``, and commands that
end with another status than 0 by ``<!-- exit 1 -->``. A block of text after commands is what they print.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(
    r"(?:<!-- (?P<word>file|change|exit):? (?P<value>\S+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.S
)


@dataclass(frozen=True)
class Step:
    """A block of a page: "file" and "change" have a file's name; "commands" have their status and what they print."""

    kind: str
    text: str
    name: str = ""
    status: int = 0
    output: str = ""

    @property
    def commands(self) -> list[str]:
        return self.text.strip().splitlines()

    def apply(self, folder: Path) -> None:
        """Write the file, or change it."""
        path = folder / self.name
        if self.kind == "file":
            path.write_text(self.text)
            return
        before, after = ("\n".join(line[1:] for line in self.text.splitlines() if line[0] == sign) for sign in "-+")
        assert path.read_text().count(before) == 1, before
        path.write_text(path.read_text().replace(before, after))


def steps(page: str) -> Iterator[Step]:
    """The blocks of a page of docs/, in order."""
    found = list(_BLOCK.finditer((DOCS / page).read_text()))
    for block, following in zip(found, [*found[1:], None], strict=True):
        word, value, text = block["word"], block["value"], block["text"]
        if word in ("file", "change"):
            yield Step(word, text, value)
        elif block["kind"] == "sh":
            output = following["text"] if following is not None and following["kind"] == "text" else ""
            yield Step("commands", text, status=int(value or 0), output=output)


def missing(expected: str, printed: str) -> list[str]:
    """The lines of ``expected`` that were not printed. Numbers may differ, and so may what … stands for."""
    lines = [_plain(line) for line in printed.splitlines()]
    return [line for line in expected.splitlines() if line.strip() and not any(_fits(_plain(line), it) for it in lines)]


def _plain(line: str) -> str:
    line = re.sub(r" \(\d+:\d\d:\d\d\)$", "", line)  # what pytest adds on a slow machine
    return " ".join(re.sub(r"–|-?\d+(\.\d+)?(e[-+]?\d+)?\*?", "#", line).replace("─", "").split())


def _fits(pattern: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line) is not None

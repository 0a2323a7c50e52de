"""Texts from outside, so that they can be shown: nothing in them steers a terminal, and they are of bounded length."""

LONGEST = 2000  # characters of a line


def neutral(text: str) -> str:
    """``text`` with every character that is not printable spelled out, such as ``\\x1b``; line breaks stay.

    Spelled out are control characters, those that turn the direction of writing, invisible ones, and halves of
    surrogate pairs; a tab or an unusual space becomes a space. A neutral text stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def printable(text: str, longest: int = LONGEST) -> str:
    """``text`` as one neutral line of at most ``longest`` characters; where it is cut, it ends in ``…``."""
    if len(text) <= longest and text.isprintable():
        return text
    beginning = text[: 4 * longest]  # of 20 MB, no more is looked at
    line = neutral(" ".join(beginning.split()))
    return line if len(line) <= longest and len(beginning) == len(text) else f"{line[: longest - 1]}…"


def _text(line: object) -> str:
    try:
        return str(line)
    except Exception:  # its class may be anybody's
        return f"a {type(line).__name__} that cannot be read"


def _shown(sign: str) -> str:
    if sign == "\n" or sign.isprintable():
        return sign
    if sign == "\t" or (sign.isspace() and sign > "\x9f"):
        return " "
    return sign.encode("unicode_escape").decode()


class LogLines:
    """What a plugin logs, as a record keeps it: lines without breaks, each and all of them of bounded length."""

    LONGEST, MOST = 300, 20  # characters, lines

    def __init__(self) -> None:
        self.lines: list[str] = []

    def append(self, line: object) -> None:
        """Keep a line, unless there are enough. What is no string is kept as ``str`` gives it, if it does."""
        if len(self.lines) < self.MOST:
            self.lines.append(printable(" ".join(_text(line)[: 100 * self.LONGEST].split()), self.LONGEST))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

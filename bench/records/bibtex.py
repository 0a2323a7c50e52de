"""One BibTeX entry from outside: which forms of it can do nothing but be printed."""

import re

LONGEST = 4000  # characters
_BEGINNING = re.compile(r"@([A-Za-z]+)\s*\{\s*([A-Za-z0-9][A-Za-z0-9:.+/-]*)\s*,")
_NO_ENTRIES = {"string", "preamble", "comment"}
# accents and letters that ASCII lacks, as in Erd{\H o}s; escaped signs
_HARMLESS = re.compile(
    r"""\\(?:["'`^~=.&%$#_]|(?:[cvuHrbdtoOlLij]|ss|aa|AA|ae|AE|oe|OE)(?![A-Za-z])|-|textendash(?![A-Za-z]))"""
)
_ACTIVE = re.compile(r"[\\%#$&^_@]")


def entry_key(text: str) -> str:
    """The key of a BibTeX entry, such as "gu2017badnets". Raises ValueError, in one line, for what is no such entry.

    It is one entry in ASCII of at most ``LONGEST`` characters, with balanced braces and no commands but accents, so
    that nothing in it can be more than a text when LaTeX prints it.
    """
    if len(text) > LONGEST:
        raise ValueError(f"at most {LONGEST} characters")
    if not all(sign.isprintable() or sign in "\n\t\r" for sign in text) or not text.isascii():
        raise ValueError('ASCII, accents as in {\\"o}')
    entry = text.strip()
    beginning = _BEGINNING.match(entry)
    if beginning is None or beginning[1].lower() in _NO_ENTRIES:
        raise ValueError("one entry, such as @misc{key, author = {…}, title = {…}, year = {…}}")
    if not _is_one_group(entry[entry.index("{") :]):
        raise ValueError("one entry whose braces are balanced")
    if active := _ACTIVE.search(_HARMLESS.sub("", entry[1:])):
        what = "a command" if active[0] == "\\" else f"{active[0]}, which is written \\{active[0]}"
        raise ValueError(f"texts and accents, not {what}")
    return beginning[2]


def _is_one_group(text: str) -> bool:
    """Whether the brace that opens ``text`` is closed by its last sign, and not before."""
    depth = 0
    for index, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth <= 0:
            return depth == 0 and index == len(text) - 1
    return False

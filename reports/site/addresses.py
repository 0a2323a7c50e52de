"""Where each page of the site lies: addresses that stay the same when results are added, whatever the labels hold.

All are relative to the site's folder and have small letters, digits, ``_``, ``-`` and ``.`` alone.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

INDEX, STYLE, RECORDS, CROISSANT, TABLE = "index.html", "style.css", "records.jsonl", "croissant.json", "table.csv"
_LONGEST = 50  # characters of a readable part


def of_setting(dataset: str, model: str) -> str:
    """The page of a data set and an architecture, by their labels."""
    return f"data/{_part([dataset, model])}.html"


def of_defense(name: str) -> str:
    """The page of a defense, by the name of its plugin."""
    return f"defenses/{_part([name])}.html"


def of_attack(name: str) -> str:
    """The page of an attack, by the name of its plugin."""
    return f"attacks/{_part([name])}.html"


def of_cell(block: Iterable[str], attack: str, column: str) -> str:
    """The page of a cell's records: ``block`` says what it is compared within, attack and column are its headings."""
    return f"cells/{_part([attack, column, *block])}.html"


def _part(texts: list[str]) -> str:
    """A name for some texts. A short plain word is its own name; for all else a hash tells alike names apart."""
    if len(texts) == 1 and re.fullmatch(r"[a-z][a-z0-9_]{0,49}", texts[0]):
        return texts[0]
    whole = "\0".join(texts).encode("utf-8", "surrogatepass")
    readable = re.sub(r"[^a-z0-9]+", "-", " ".join(texts[:2]).lower()).strip("-")[:_LONGEST].strip("-")
    return f"{readable}-{sha256(whole).hexdigest()[:12]}".lstrip("-")

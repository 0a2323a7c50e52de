"""Metadata of the results in the Croissant format of MLCommons, version 1.0, so that data set searches find them.

Source: the Croissant Format Specification 1.0, http://mlcommons.org/croissant/1.0.
"""

import json
from datetime import date
from hashlib import sha256
from types import NoneType
from typing import Any, get_args

from bench.records import Record
from bench.reports.site import addresses
from bench.reports.site.about import UNKNOWN, About
from bench.reports.tables.latex_text import escape_latex

NAME = "backdoor-defense-results"
_DIRECT = "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset"
_DIRECT += " jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator"
_DIRECT += " source subField transform"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _DIRECT.split()},
}
_TYPES = {bool: "sc:Boolean", int: "sc:Integer", float: "sc:Float"}


def croissant(about: About, records: bytes, newest: str) -> str:
    """The metadata as JSON-LD. ``records``: the file of records; ``newest``: when the last of them was finished.

    The version is the day of the newest result and the beginning of the file's hash: others with other records.
    """
    base = about.url if about.url.endswith("/") or not about.url else f"{about.url}/"
    day, digest = _day(newest), sha256(records).hexdigest()
    file = {
        "@type": "cr:FileObject",
        "@id": addresses.RECORDS,
        "name": addresses.RECORDS,
        "description": "One JSON object a line, one line a cell and seed.",
        "contentUrl": f"{base}{addresses.RECORDS}",
        "contentSize": f"{len(records)} B",
        "encodingFormat": "application/jsonlines",
        "sha256": digest,
    }
    dataset = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": NAME,
        "alternateName": about.title,
        "description": "Results of defenses against backdoor attacks on image classifiers: ACC, ASR, RA and DER of "
        "every attack against every defense, with the parameters, seeds, code and machine that they were made with.",
        "url": base or addresses.INDEX,
        "license": about.license,
        "creator": {"@type": "sc:Organization", "name": about.creator},
        **({"datePublished": day.isoformat()} if day else {}),
        "version": f"{f'{day.year}.{day.month}.{day.day}' if day else '0.0.0'}+{digest[:12]}",
        "citeAs": _citation(about, day),
        "isLiveDataset": False,
        "keywords": ["backdoor attacks", "backdoor defenses", "benchmark", "image classification"],
        "distribution": [file],
        "recordSet": [_record_set()],
    }
    return json.dumps(dataset, indent=1) + "\n"


def _day(moment: str) -> date | None:
    try:
        return date.fromisoformat(moment[:10])
    except ValueError:  # a table of means does not say when its results were made
        return None


def _citation(about: About, day: date | None) -> str:
    """How the results are cited, in BibTeX, as far as it was stated."""
    fields = {"title": about.title, "author": "" if about.creator == UNKNOWN else about.creator, "url": about.url}
    plain = {name: text.translate({ord("{"): "(", ord("}"): ")"}) for name, text in fields.items()}
    said = [f"{name} = {{{escape_latex(text)}}}" for name, text in plain.items() if text]
    return f"@misc{{{', '.join([NAME, *said, *([f'year = {{{day.year}}}'] if day else [])])}}}"


def _record_set() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "A line is one attack against one defense with one seed. Shares are in [0, 1].",
        "key": {"@id": "records/key"},
        "field": [_field(name) for name in Record.model_fields],
    }


def _field(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"records/{name}",
        "name": name,
        "dataType": _type(name),
        "source": {"fileObject": {"@id": addresses.RECORDS}, "extract": {"column": name}},
    }


def _type(name: str) -> str:
    annotation = Record.model_fields[name].annotation
    kinds = [one for one in get_args(annotation) or (annotation,) if one is not NoneType]
    return _TYPES.get(kinds[0], "sc:Text") if len(kinds) == 1 and isinstance(kinds[0], type) else "sc:Text"

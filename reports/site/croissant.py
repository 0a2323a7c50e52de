"""Metadata of the results in the Croissant format of MLCommons, version 1.0, so that data set searches find them.

Source: the Croissant Format Specification 1.0, http://mlcommons.org/croissant/1.0.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from types import NoneType
from typing import Any, get_args

from bench.records import Record
from bench.reports.site import addresses

UNKNOWN = "not stated"
_DIRECT = "citeAs column extract field fileProperty fileObject fileSet format includes isLiveDataset jsonPath key md5"
_DIRECT += " parentField path recordSet references regex repeated replace separator source subField transform"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _DIRECT.split()},
}
_TYPES = {bool: "sc:Boolean", int: "sc:Integer", float: "sc:Float"}


@dataclass(frozen=True)
class About:
    """What a site says of itself and no record knows. ``url`` is where it will lie, "" where that is not decided."""

    title: str = "Backdoor defenses compared"
    url: str = ""
    license: str = UNKNOWN
    creator: str = UNKNOWN


def croissant(about: About, records: bytes, newest: str) -> str:
    """The metadata as JSON-LD. ``records``: the file of records; ``newest``: when the last of them was finished."""
    base = about.url if about.url.endswith("/") or not about.url else f"{about.url}/"
    file = {
        "@type": "cr:FileObject",
        "@id": addresses.RECORDS,
        "name": addresses.RECORDS,
        "description": "One JSON object a line, one line a cell and seed.",
        "contentUrl": f"{base}{addresses.RECORDS}",
        "contentSize": f"{len(records)} B",
        "encodingFormat": "application/jsonlines",
        "sha256": sha256(records).hexdigest(),
    }
    dataset = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "backdoor-defense-results",
        "alternateName": about.title,
        "description": "Results of defenses against backdoor attacks on image classifiers: ACC, ASR, RA and DER of "
        "every attack against every defense, with the parameters, seeds, code and machine that they were made with.",
        "url": base or addresses.INDEX,
        "license": about.license,
        "creator": {"@type": "sc:Organization", "name": about.creator},
        "datePublished": newest[:10] or UNKNOWN,
        "isLiveDataset": False,
        "keywords": ["backdoor attacks", "backdoor defenses", "benchmark", "image classification"],
        "distribution": [file],
        "recordSet": [_record_set()],
    }
    return json.dumps(dataset, indent=1) + "\n"


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

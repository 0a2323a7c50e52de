"""Croissant metadata of a site's records: what the specification 1.0 requires, and that it is of the file beside it."""

import json
import re
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_records import made

from bench.records import Record
from bench.records.bibtex import entry_key
from bench.reports.site import addresses
from bench.reports.site.about import About, about
from bench.reports.site.croissant import croissant
from bench.reports.site.write import write_site

REQUIRED = ["@context", "@type", "conformsTo", "name", "description", "license", "url", "creator", "datePublished"]
REQUIRED += ["version", "citeAs"]  # recommended
VERSION = r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)\+[0-9a-f]{12}"  # a semantic one
# The context that the specification 1.0 prescribes, and with which mlcroissant 1.1.1 compares.
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
ABOUT = About("Ours", "https://example.org/site", "CC-BY-4.0", "Somebody")
TYPES = {"sc:Text": str, "sc:Float": float | int, "sc:Integer": int, "sc:Boolean": bool}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("croissant")
    write_site(made()[:3], folder, ABOUT)
    return folder


@pytest.fixture(scope="module")
def metadata(written: Path) -> dict[str, Any]:
    built: dict[str, Any] = json.loads((written / "croissant.json").read_text())
    return built


def test_all_that_a_data_set_must_say_is_said(metadata: dict[str, Any]) -> None:
    assert all(metadata[name] for name in REQUIRED)
    assert (metadata["@type"], metadata["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.0")
    assert metadata["license"] == ABOUT.license
    assert metadata["creator"]["name"] == ABOUT.creator
    assert metadata["url"] == "https://example.org/site/"
    assert metadata["datePublished"] == max(record.finished for record in made()[:3])[:10]


def test_the_context_is_that_of_the_specification(metadata: dict[str, Any]) -> None:
    assert metadata["@context"] == CONTEXT


def test_the_version_and_the_citation_are_of_these_records(written: Path, metadata: dict[str, Any], tmp_path) -> None:
    write_site(made()[:2], tmp_path, ABOUT)
    other = json.loads((tmp_path / "croissant.json").read_text())
    assert re.fullmatch(VERSION, metadata["version"])
    assert metadata["version"] != other["version"]
    day = metadata["datePublished"].split("-")
    assert metadata["version"].split("+")[0].split(".") == [str(int(part)) for part in day]
    assert entry_key(metadata["citeAs"])
    assert f"author = {{{ABOUT.creator}}}" in metadata["citeAs"]
    assert f"year = {{{day[0]}}}" in metadata["citeAs"]


@settings(max_examples=30)
@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_stated_the_citation_is_one_entry_that_can_only_be_printed(title: str, creator: str) -> None:
    said = about(title=title, creator=creator, url=f"https://example.org/{title}")
    built = json.loads(croissant(said, b"", "2026-01-02T03:04:05+00:00"))
    entry = built["citeAs"].removeprefix("@misc")
    depths = list(accumulate((sign == "{") - (sign == "}") for sign in entry))
    assert depths[-1] == 0
    assert min(depths[:-1]) > 0  # one group, which its last sign closes
    assert entry.isascii()
    assert entry.isprintable()
    assert not re.search(r"\\(?:input|write|include|def|catcode|csname)", entry)


@pytest.mark.parametrize("moment", ["", "tomorrow", "2026-13-01", "<b>2026</b>"])
def test_what_has_no_day_states_none(moment: str) -> None:
    built = json.loads(croissant(ABOUT, b"", moment))
    assert "datePublished" not in built
    assert re.fullmatch(VERSION, built["version"])
    assert built["version"].startswith("0.0.0+")
    assert "year" not in built["citeAs"]


@pytest.mark.parametrize("stated", [ABOUT, About()])
def test_the_validator_finds_nothing_and_reads_every_record(tmp_path: Path, stated: About) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs pip install mlcroissant")
    write_site(made()[:3], tmp_path, stated)
    records = tmp_path / addresses.RECORDS
    dataset = mlcroissant.Dataset(tmp_path / addresses.CROISSANT, mapping={addresses.RECORDS: records})
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    read = [
        {
            name.removeprefix("records/"): value.decode() if isinstance(value, bytes) else value
            for name, value in one.items()
        }
        for one in dataset.records("records")
    ]
    assert [one["key"] for one in read] == [line["key"] for line in lines]
    for one, line in zip(read, lines, strict=True):
        assert one == pytest.approx(line)  # the validator's reader rounds


def test_the_file_is_the_one_beside_it(written: Path, metadata: dict[str, Any]) -> None:
    [file] = metadata["distribution"]
    data = (written / "records.jsonl").read_bytes()
    assert file["@type"] == "cr:FileObject"
    assert file["sha256"] == sha256(data).hexdigest()
    assert file["contentSize"] == f"{len(data)} B"
    assert file["contentUrl"] == "https://example.org/site/records.jsonl"
    assert file["encodingFormat"] == "application/jsonlines"


def test_every_field_is_a_column_of_the_file_with_its_type(written: Path, metadata: dict[str, Any]) -> None:
    [record_set] = metadata["recordSet"]
    lines = [json.loads(line) for line in (written / "records.jsonl").read_text().splitlines()]
    assert [field["name"] for field in record_set["field"]] == list(Record.model_fields)
    for field in record_set["field"]:
        assert field["@id"] == f"records/{field['name']}"
        assert field["source"]["fileObject"]["@id"] == metadata["distribution"][0]["@id"]
        column = field["source"]["extract"]["column"]
        for line in lines:
            assert line[column] is None or isinstance(line[column], TYPES[field["dataType"]]), field


def test_the_key_is_a_field_and_tells_records_apart(written: Path, metadata: dict[str, Any]) -> None:
    [record_set] = metadata["recordSet"]
    assert record_set["key"]["@id"] in {field["@id"] for field in record_set["field"]}
    keys = [json.loads(line)["key"] for line in (written / "records.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 3


def test_the_file_is_read_as_records_again(written: Path) -> None:
    again = [Record.model_validate_json(line) for line in (written / "records.jsonl").read_text().splitlines()]
    assert {record.to_json() for record in again} == {record.to_json() for record in made()[:3]}


def test_what_nobody_stated_is_said_to_be_so(tmp_path: Path) -> None:
    write_site(made()[:1], tmp_path)
    built = json.loads((tmp_path / "croissant.json").read_text())
    assert (built["license"], built["creator"]["name"], built["url"]) == ("not stated", "not stated", "index.html")
    assert built["distribution"][0]["contentUrl"] == "records.jsonl"

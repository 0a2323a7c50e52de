"""Croissant metadata of a site's records: what the specification 1.0 requires, and that it is of the file beside it."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from site_records import made

from bench.records import Record
from bench.reports.site.croissant import About
from bench.reports.site.write import write_site

REQUIRED = ["@context", "@type", "conformsTo", "name", "description", "license", "url", "creator", "datePublished"]
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


def test_every_term_is_in_the_context_or_of_schema_org(metadata: dict[str, Any]) -> None:
    context = metadata["@context"]
    assert (context["cr"], context["sc"]) == ("http://mlcommons.org/croissant/", "https://schema.org/")
    assert context["@vocab"] == context["sc"]
    for term in ("recordSet", "field", "source", "extract", "column", "fileObject", "key"):
        assert context[term] == f"cr:{term}"


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

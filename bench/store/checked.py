"""Bytes of a stage's files to checked values. What does not parse, or does not fit its schema, is Damaged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from bench.errors import Damaged, one_line
from bench.records import Record
from bench.store import files, schema
from bench.store.facts import NaturalFacts, VictimFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
LONGEST = 200  # characters of what a library says of a damaged file


def record(section: str, key: str, content: bytes) -> Record:
    """The record of the stage ``section``/``key``."""
    with _damage(section, key, "record.json"):
        found = _model(Record, content)
        schema.check_record(found, section, key)
    return found


def facts(key: str, content: bytes) -> VictimFacts:
    """What is known of the victim ``key``."""
    with _damage("victims", key, "stage.json"):
        return _model(VictimFacts, content)


def natural(key: str, content: bytes) -> NaturalFacts:
    """What is known of the benign network's answers ``key``."""
    with _damage("natural", key, "natural.json"):
        return _model(NaturalFacts, content)


def json_object(section: str, key: str, name: str, content: bytes) -> dict[str, Any]:
    """The object in a JSON file."""
    with _damage(section, key, name):
        return schema.parse_json(content)


def text(section: str, key: str, name: str, content: bytes) -> str:
    """A text in UTF-8."""
    with _damage(section, key, name):
        return content.decode()


def tensors(section: str, key: str, name: str, content: bytes) -> "dict[str, torch.Tensor]":
    """A safetensors file as tensors on the CPU."""
    with _damage(section, key, name):
        found = _parsed(files.tensors, content)
        schema.check_tensors(section, name, found)
    return found


def arrays(section: str, key: str, name: str, content: bytes) -> "dict[str, np.ndarray[Any, Any]]":
    """A safetensors file as numpy arrays."""
    with _damage(section, key, name):
        found = _parsed(files.arrays, content)
        schema.check_tensors(section, name, found)
    return found


def state(section: str, key: str, name: str, content: bytes, device: "torch.device") -> dict[str, Any]:
    """A training's state, its tensors on ``device``."""
    with _damage(section, key, name):
        found = _parsed(lambda whole: files.state(whole, device), content)
        schema.check_state(found)
    return found


@contextmanager
def _damage(section: str, key: str, name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        why = str(error) or one_line(error)
        raise Damaged(section, key, name, why if len(why) <= LONGEST else f"{why[: LONGEST - 1]}…") from None


def _model(kind: type[M], content: bytes) -> M:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ascii(".".join(map(str, first["loc"])))[1:-1]
        raise ValueError(f"does not fit: {place[:60] + ': ' if place else ''}{_plain(first['msg'])}") from None


def _parsed(parse: Callable[[bytes], T], content: bytes) -> T:
    """What a library reads from bytes. It may raise anything for bytes that it did not write, but memory may end."""
    try:
        return parse(content)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"cannot be read: {ascii(one_line(error))[1:-1]}") from None


def _plain(message: str) -> str:
    """A message without breaks and unprintable characters."""
    return ascii(" ".join(message.split()))[1:-1]

"""What a key in a store stands for: a cell or a victim, with its network and all that is known of it."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import RequestError, shortened
from bench.records import Record
from bench.store.facts import VictimFacts
from bench.store.schema import NETWORK
from bench.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

SHORTEST = 4  # digits of a key that are taken for its beginning


@dataclass(frozen=True)
class Source:
    """A finished cell, or a victim where ``record`` is None.

    facts: of the victim. maker: where the cell or victim comes from, by name (``bench.provenance``).
    """

    store: Store
    victim_key: str
    facts: VictimFacts
    record: Record | None
    maker: dict[str, Any]

    @property
    def key(self) -> str:
        return self.record.key if self.record else self.victim_key

    @property
    def victim(self) -> "Source":
        """The victim of a cell; a victim itself."""
        maker = self.store.read_json("victims", self.victim_key, "stage.json").get("provenance", {})
        return Source(self.store, self.victim_key, self.facts, None, maker)

    def network(self) -> "dict[str, Tensor]":
        """The tensors of the network by name: a victim's, or the one that a cell's repair returned.

        Raises RequestError, saying why, for a cell without a network of its own in the store.
        """
        if self.record is None:
            return self.store.tensors("victims", self.victim_key, "model.safetensors")
        if NETWORK in self.store.hashes("cells", self.key):
            return self.store.tensors("cells", self.key, NETWORK)
        defense = self.record.defense_label
        raise RequestError(
            f"export {self.key[:12]}: no network of {defense} is kept: bench run --keep-networks keeps those of "
            f"repairs (--refresh {self.record.defense} for cells that are done); --victim exports the victim's"
        )


def source(store: Store, prefix: str) -> Source:
    """What the key that begins with ``prefix`` stands for.

    Raises RequestError unless exactly one finished cell or victim has such a key, Damaged for a file that is not what
    was written.
    """
    named = f"export {shortened(prefix)}"
    if len(prefix) < SHORTEST or not all(sign in "0123456789abcdef" for sign in prefix):
        raise RequestError(f"{named}: expected the beginning of a key, {SHORTEST} or more hexadecimal digits")
    cells = [key for key in store.keys("cells") if key.startswith(prefix)]
    victims = [key for key in store.keys("victims") if key.startswith(prefix)]
    if len(cells) + len(victims) != 1:
        raise RequestError(
            f"{named}: expected the beginning of one key of a cell or victim; {len(cells) + len(victims)} begin so"
        )
    if victims:
        [key] = victims
        maker = store.read_json("victims", key, "stage.json").get("provenance", {})
        return Source(store, key, store.facts(key), None, maker)
    record = store.record(cells[0])
    if record is None or record.status != "done":
        status = record.status if record else "gone"
        raise RequestError(f"{named}: the cell is {status}: expected one that is done")
    if not store.has("victims", record.victim_key):
        raise RequestError(f"{named}: its victim {record.victim_key[:12]} is no longer in the store")
    maker = {name: getattr(record, name) for name in ("code_version", "commit", "device")}
    maker["packages"] = json.loads(record.packages)
    return Source(store, record.victim_key, store.facts(record.victim_key), record, maker)

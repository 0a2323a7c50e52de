"""``bench run --refresh``: the stages that plugins take part in are removed, so that they are computed again."""

from dataclasses import dataclass

from bench.errors import RequestError
from bench.plan.plan import Plan
from bench.store.store import Store


@dataclass(frozen=True)
class Refresh:
    """The keys of those victims and cells of a plan that are to be computed again."""

    victims: frozenset[str]
    cells: frozenset[str]

    def drop(self, store: Store) -> None:
        """Remove them from the store; with a victim also what other requests have made on it."""
        for key in store.natural_of(self.victims):
            store.forget("natural", key)
        cells = set(self.cells)
        if self.victims:
            cells |= {record.key for record in store.records(lambda error: None) if record.victim_key in self.victims}
        for key in sorted(cells):
            store.forget("cells", key)
            store.forget("failures", key)
        for key in sorted(self.victims):  # last, so that a cell always has its victim
            store.forget("victims", key)
            store.forget("checkpoints", key)


def refreshing(plan: Plan, names: str) -> Refresh:
    """The stages that plugins take part in: a defense in its cells, any other plugin in its victims and their cells.

    names: the plugins', comma-separated; ``kind:name`` if two kinds have a plugin of that name. Raises RequestError for
    a name that none of the request's plugins has, or that plugins of two kinds have.
    """
    plugins = {(ref.kind, ref.name) for cell in plan.cells for ref in cell.refs.values()}
    chosen: set[tuple[str, str]] = set()
    for text in names.split(","):
        asked_kind, _, name = text.strip().rpartition(":")
        matching = {(kind, plugin) for kind, plugin in plugins if plugin == name and asked_kind in ("", kind)}
        if not matching:
            names_there = ", ".join(sorted({plugin for _, plugin in plugins}))
            raise RequestError(f"--refresh {text.strip()}: expected a plugin of this request: {names_there}")
        if len(matching) > 1:
            full_names = " or ".join(sorted(f"{kind}:{plugin}" for kind, plugin in matching))
            raise RequestError(f"--refresh {name}: expected {full_names}, since both have this name")
        chosen |= matching
    victims, cells = set(), set()
    for cell in plan.cells:
        refreshed = {kind for kind, ref in cell.refs.items() if (kind, ref.name) in chosen}
        if refreshed:
            cells.add(cell.key)
        if refreshed - {"defense"}:
            victims.add(cell.victim.key)
    return Refresh(frozenset(victims), frozenset(cells))

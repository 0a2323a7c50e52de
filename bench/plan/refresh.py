"""``bench run --refresh``: which stages a plugin has a part in, and dropping them so that they are computed again."""

from dataclasses import dataclass

from bench.errors import RequestError
from bench.plan.plan import Plan
from bench.store.store import Store


@dataclass(frozen=True)
class Refresh:
    """Keys of the victims and cells of a plan that are to be computed again."""

    victims: frozenset[str]
    cells: frozenset[str]

    def drop(self, store: Store) -> None:
        """Take them out of the store; with a victim, its cells of other requests too, which nothing then supports."""
        cells = set(self.cells)
        if self.victims:
            cells |= {record.key for record in store.records(lambda error: None) if record.victim_key in self.victims}
        for key in sorted(cells):
            store.forget("cells", key)
            store.forget("failures", key)
        for key in sorted(self.victims):  # last, so that no cell ever outlives its victim
            store.forget("victims", key)
            store.forget("checkpoints", key)


def refreshing(plan: Plan, names: str) -> Refresh:
    """What the plugins ``names`` (comma-separated; ``kind:name`` where two kinds share one) have a part in.

    A defense: its cells. An attack, a model or a data set: its victims with their cells. RequestError for a name that
    is none of the request's plugins.
    """
    there = {(ref.kind, ref.name) for cell in plan.cells for ref in cell.refs.values()}
    chosen: set[tuple[str, str]] = set()
    for text in names.split(","):
        wanted, _, name = text.strip().rpartition(":")
        found = {(kind, plugin) for kind, plugin in there if plugin == name and wanted in ("", kind)}
        if not found:
            known = ", ".join(sorted({plugin for _, plugin in there}))
            raise RequestError(f"--refresh {text.strip()}: expected a plugin of this request: {known}")
        if len(found) > 1:
            spelled = " or ".join(sorted(f"{kind}:{plugin}" for kind, plugin in found))
            raise RequestError(f"--refresh {name}: expected {spelled}, since both are called so")
        chosen |= found
    victims, cells = set(), set()
    for cell in plan.cells:
        parts = {kind: (kind, ref.name) in chosen for kind, ref in cell.refs.items()}
        if any(parts.values()):
            cells.add(cell.key)
        if any(part for kind, part in parts.items() if kind != "defense"):
            victims.add(cell.victim.key)
    return Refresh(frozenset(victims), frozenset(cells))

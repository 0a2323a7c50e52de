"""Ask a victim's network about the test images, and put the victim into the store."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from bench.cell.backdoors import TriggeredSet
from bench.cell.loaded import LoadedVictim
from bench.cell.metered import MeteredGuard
from bench.cell.network import network_guard
from bench.cell.predict import predict
from bench.cell.stealth import IMAGES, stealth
from bench.plan.stages import ImportedVictim
from bench.plugin import mapped
from bench.provenance import now
from bench.toolbox.precision import expect_finite

PICTURES = 6  # pairs of test images kept for the report's gallery


def put_victim(
    victim: LoadedVictim, network: nn.Module, learned: Mapping[str, Tensor], known: Mapping[str, Any]
) -> None:
    """Predict with ``network``, in the precision that ``known`` names, and store the victim.

    learned: what its triggers need, by name. known: the facts for ``stage.json`` that do not follow from the test
    images. Raises ValueError where what was learned is not finite.
    """
    expect_finite(learned, whose="what the attack learned: ")
    workshop, stage = victim.workshop, victim.stage
    test = victim.with_learned(learned).test_set()
    inference = MeteredGuard(network_guard(network, known["precision"]), workshop.device)
    predictions = predict(inference, test, classes=victim.dataset.spec.classes)
    made_by = [ref for ref in stage.refs.values() if ref.kind != "attack" or not isinstance(stage, ImportedVictim)]
    facts = {
        "inference_seconds": inference.seconds,
        "ms_per_sample": 1000 * inference.seconds / (2 * len(test)),
        "n_train": len(victim.train),
        **_test_facts(test),
        "class_names": list(victim.dataset.class_names),
        "fingerprints": {ref.kind: workshop.registry.fingerprint(ref.kind, ref.name) for ref in made_by},
        "finished": now(),
        "provenance": workshop.maker.facts(),
        **known,
    }
    workshop.store.write(
        "victims",
        stage.key,
        {
            "model.safetensors": network.state_dict(),
            "learned.safetensors": learned,
            "predictions.safetensors": {**predictions, "labels": test.originals.labels, "targets": test.targets},
            "pictures.safetensors": _pictures(test),
            "stage.json": facts,
        },
    )


def _test_facts(test: TriggeredSet) -> dict[str, Any]:
    """Facts about the test images that the records of all cells of this victim repeat."""
    eligible = test.eligible
    return {
        "n_test": len(test),
        "n_triggered": int(eligible.sum()),
        "targets": test.targets[eligible].unique().tolist(),
        "stealth": stealth(test.pairs(eligible.nonzero()[:IMAGES, 0], IMAGES)),
    }


def _pictures(test: TriggeredSet) -> dict[str, Tensor]:
    """Eligible test images without and with the trigger, uint8 (``PICTURES``, C, H, W) or fewer."""
    shown = test.eligible.nonzero()[:PICTURES, 0]
    return {"clean": test.originals.at(shown).images, "triggered": mapped.rows(test.pixels, shown)}

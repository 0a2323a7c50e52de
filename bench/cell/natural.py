"""What a trigger does to a network that never saw it: a benign network is shown a victim's triggered test images.

Where it answers their targets, the trigger alone does it. It is then an adversarial perturbation, or it covers the
picture, and no repair of the victim can bring ASR below that. Nothing is trained for this: both networks are in the
store.
"""

import torch
from torch import Tensor

from bench.cell import metrics
from bench.cell.answers import checked
from bench.cell.backdoors import TriggeredSet
from bench.cell.loaded import LoadedVictim
from bench.cell.network import network_guard
from bench.cell.predict import batch_size
from bench.cell.workshop import Workshop
from bench.plan.stages import NaturalStage
from bench.plugin.defense import Guard
from bench.provenance import now
from bench.records import LogLines


def make_natural(stage: NaturalStage, workshop: Workshop) -> LogLines:
    """Ask the benign network about the victim's triggered test images, and put its answers into the store."""
    started, store = now(), workshop.store
    victim_facts, benign_facts = store.facts(stage.victim.key), store.facts(stage.benign.key)
    victim = LoadedVictim.read(stage.victim, workshop)
    test = victim.test_set()
    network = workshop.victim(stage.benign)
    logits = _answers(network_guard(network, benign_facts.precision), test, victim.dataset.spec.classes)
    facts = {
        "victim": stage.victim.key,
        "benign": stage.benign.key,
        "asr": metrics.attack_success(logits.argmax(1), test.originals.labels, test.targets),
        "n_test": len(test),
        "fingerprints": victim_facts.fingerprints,  # of when they were made
        "benign_fingerprints": benign_facts.fingerprints,
        "started": started,
        "finished": now(),
        "provenance": workshop.maker.facts(),
    }
    store.write("natural", stage.key, {"predictions.safetensors": {"triggered_logits": logits}, "natural.json": facts})
    return LogLines()


@torch.no_grad()
def _answers(guard: Guard, test: TriggeredSet, classes: int) -> Tensor:
    """The logits (N, classes) of all triggered images."""
    everything = torch.arange(len(test), device=test.targets.device)
    parts = everything.split(batch_size(*test.pixels.shape[2:]))
    return torch.cat([checked(guard(test.triggered(index)), len(index), classes).logits for index in parts])

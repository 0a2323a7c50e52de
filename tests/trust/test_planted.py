"""An attack that is in no training image is refused before anything is trained."""

from typing import ClassVar, Literal

import pytest

from bench.attacks.badnets import BadNets
from bench.attacks.none import NoAttack
from bench.attacks.sig import SIG
from bench.attacks.wanet import WaNet
from bench.cell import backdoors

NONE_POISONED = r"poisoning_rate=0.001 of 60 training images poisoned 0: expected at least 1 poisoned image$"


class Controlling(BadNets):
    """Puts its trigger into training by its objective, and poisons no image before."""

    controls: ClassVar[Literal["data", "training"]] = "training"


@pytest.mark.parametrize("attack", [BadNets(poisoning_rate=0.001), SIG(poisoning_rate=0.001)])
def test_an_attack_that_poisons_no_image_is_refused_with_its_rate(attack, images, spec, attack_context):
    with pytest.raises(ValueError, match=rf"^{attack.name}: {NONE_POISONED}"):
        backdoors.poison(attack.resolve(spec), images, attack_context)


def test_so_is_one_of_whose_backdoors_one_is_in_no_image(images, spec, attack_context):
    attack = BadNets(poisoning_rate=0.01, label_map="several", targets=(0, 1, 2)).resolve(spec)
    with pytest.raises(ValueError, match=r"^badnets: poisoning_rate=0.01 of 20 training images poisoned 0"):
        backdoors.poison(attack, images, attack_context)


@pytest.mark.parametrize(
    "attack", [NoAttack(), Controlling(poisoning_rate=0.001), WaNet(poisoning_rate=0.1), BadNets(poisoning_rate=0.02)]
)
def test_the_control_row_and_attacks_that_control_training_are_not_concerned(attack, images, spec, attack_context):
    attack = attack.resolve(spec)
    learned = backdoors.learn(attack, images, attack_context)
    context = attack_context.__class__(**{**vars(attack_context), "learned": learned})
    poisoned = backdoors.poison(attack, images, context)
    assert bool(poisoned.poisoned.any()) == (attack.name != "none" and attack.poisoning_rate > 0.001)

"""The published forms of the seeds, side by side with our own in one table."""

from pathlib import Path

import pytest

from bench.plan.plan import make_plan
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.request import Request

REGISTRY = Registry()
WRITTEN_OUT = {  # as docs/published-settings.csv has them
    "tac": "decide=together,evidence=latent,quantile=1,logarithm=false,test=extreme,targets=1,pairs=false,controls=0,"
    "objective=suppress,beta=1,stretch=1,epochs=20,batch_size=256,augment=true,schedule=constant,"
    "distance_images=50,control_epochs=10",
    "bna": "trigger_models=patch+additive,search=pairs,prune=0,rule=mad,images=100,steps=300,judged=successful,"
    "refine_images=900,refine_steps=300,stretch=1,joint=false,bin_width=0.1,tau=150,learning_rate=0.01,"
    "align_steps=160,members=stamped",
    "teco": "centred=false",
    "fire": "apply=all,baseline=images",
    "true_tac": "objective=suppress,beta=1,stretch=1,epochs=20,batch_size=256,augment=true,schedule=constant",
}
SHARED = (  # what tac and its oracle tune with
    *("augment", "objective", "beta", "stretch", "epochs", "learning_rate", "batch_size", "momentum", "weight_decay"),
    *("schedule", "normalise"),
)


def cells(defenses: str, profile: str = "quick"):
    asked = {"attacks": "badnets", "datasets": "digits", "models": "resnet18[width=4]", "reference": 40, "seeds": 0}
    return make_plan(Request(defenses=defenses, profile=profile, **asked), REGISTRY, Path()).cells


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_the_preset_is_the_published_form_beside_our_own(name):
    own, published = cells(f"{name},{name}[paper],{name}[{WRITTEN_OUT[name]}]")
    assert (own.defense.label, published.defense.label) == (name, f"{name}[paper]")
    assert own.key != published.key
    [same] = cells(name, "paper")
    assert same.defense.identity == published.defense.identity


def test_the_class_of_the_smallest_norm_can_be_repaired_in_any_case():
    tested, always = cells("tac[paper],tac[paper,flag=always]")
    assert always.defense.label == "tac[paper,flag=always]"
    assert always.defense.parameters == tested.defense.parameters | {"flag": "always"}


@pytest.mark.parametrize("selected", ["", "[paper]"])
@pytest.mark.parametrize("profile", PROFILES)
def test_the_oracle_of_tac_tunes_as_tac_does(profile, selected):
    """Else it is no upper bound of tac: the length of the shift, above all, is the same."""
    tac, oracle = (REGISTRY.create("defense", cell.defense.name, cell.defense.parameters)
                   for cell in cells(f"tac{selected},true_tac{selected}", profile))  # fmt: skip
    assert {name: getattr(oracle, name) for name in SHARED} == {name: getattr(tac, name) for name in SHARED}

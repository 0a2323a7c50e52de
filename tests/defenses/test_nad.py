"""NAD: attention maps and the distillation loss against direct computations."""

import pytest
import torch
import torch.nn.functional as F
from planted import THREE_CLASSES
from small_networks import TwoStages

from bench.defenses.nad import Distillation, attention_map, logits_and_maps
from bench.toolbox.training import Recipe, train


@pytest.mark.parametrize("layout", ["channels first", "channels last", "tokens"])
def test_an_attention_map_is_a_sum_over_channels_of_length_one(layout: str) -> None:
    activations = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, 25)
    for image in range(2):
        for position in range(25):
            row, column = divmod(position, 5)
            expected[image, position] = sum(abs(activations[image, c, row, column]) ** 3 for c in range(3))
        expected[image] /= (expected[image] ** 2).sum().sqrt()
    layouts = {"channels first": activations, "channels last": activations.permute(0, 2, 3, 1)}
    layouts["tokens"] = layouts["channels last"].reshape(2, 25, 3)
    torch.testing.assert_close(attention_map(layouts[layout], 3.0), expected)


def test_the_distillation_loss_is_the_papers() -> None:
    data, student, teacher = THREE_CLASSES.draw(20, seed=1), TwoStages(seed=1), TwoStages(seed=2)
    modules = [[model.early, model.late] for model in (teacher, student)]
    objective = Distillation(teacher, *modules, betas=(9.0, 5.0, 7.0), power=2.0)  # two stages: the last two betas
    loss = objective.loss(student, data.floats, data.labels, 0.0)
    expected = F.cross_entropy(student(data.floats), data.labels)
    early = [model.early(data.floats) for model in (student, teacher)]
    late = [model.late(x) for model, x in zip((student, teacher), early, strict=True)]
    for beta, activations in ((5.0, early), (7.0, late)):
        maps = [x.square().sum(1).flatten(1) for x in activations]
        maps = [x / x.norm(dim=1, keepdim=True) for x in maps]
        expected = expected + beta * (maps[0] - maps[1]).square().mean()
    torch.testing.assert_close(loss, expected)


def test_the_students_attention_approaches_its_teachers() -> None:
    data, teacher, students = THREE_CLASSES.draw(60, seed=1), TwoStages(seed=2), (TwoStages(seed=1), TwoStages(seed=1))
    recipe = Recipe(epochs=20, batch_size=20, learning_rate=0.02, schedule="cosine", augment=False)
    for student, beta in zip(students, (0.0, 50.0), strict=True):
        modules = [[model.early, model.late] for model in (teacher, student)]
        objective = Distillation(teacher, *modules, betas=(beta, beta), power=2.0)
        train(student, data, recipe, torch.Generator().manual_seed(0), objective=objective)
    wanted, *maps = (
        logits_and_maps(model, [model.early, model.late], data.floats, 2.0)[1] for model in (teacher, *students)
    )
    without, distilled = (
        sum(float(F.mse_loss(one, other).detach()) for one, other in zip(own, wanted, strict=True)) for own in maps
    )
    assert distilled < 0.5 * without

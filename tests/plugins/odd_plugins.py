"""Plugins that misbehave in the way ``how``: they raise what nobody expects, or give what nobody can use.

Each way is a function in one of the tables; a defense, an attack, a model and a data set call one of them.
"""

import asyncio
import os
import sys
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from bench.errors import Damaged, RequestError
from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Prediction, Repair, Runtime, Splits
from bench.plugin.attack import Objective


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class NoText(Exception):
    def __str__(self):
        return 3


class Unpicklable(Exception):
    def __init__(self, one, *, other):
        super().__init__(one, lambda: other)


class Outside(BaseException):
    pass


class Named(Exception):
    pass


Named.__name__ = Named.__qualname__ = "\x1b[31m\u202e" + "x" * 10_000


class Clinging(Exception):
    """One that can be given no traceback."""

    def with_traceback(self, trace):
        raise RuntimeError("no traceback")

    def __getattribute__(self, name):
        if name in ("__notes__", "args", "__cause__"):
            raise RuntimeError("nothing to see")
        return super().__getattribute__(name)


class Hidden(AttributeError):
    """``traceback`` looks for names that are near ``name``, in ``obj``."""

    def __init__(self):
        super().__init__("odd")
        self.obj, self.name = Secretive(), "x"


class Secretive:
    def __dir__(self):
        raise RuntimeError("no names")


def noted():
    error = ValueError("odd")
    error.add_note("\ud800\x1b[31m")
    error.__notes__ += [3, None, Unreadable()]
    raise error


def circular():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def grouped():
    raise ExceptionGroup("many", [ValueError("\ud800"), ExceptionGroup("inner", [Unreadable()])] * 3)


def base_group():
    raise BaseExceptionGroup("many", [KeyboardInterrupt(), SystemExit(0)])


def misspelled():
    error = SyntaxError("odd")
    error.lineno, error.offset, error.text, error.filename = "x", object(), 3, b"\xff"
    raise error


def recursive():
    return recursive()


def deep():
    error = ValueError("0")
    for number in range(5_000):
        error.__cause__, error = ValueError(str(number)), error.__cause__ or error
    raise error


def raising(error):
    def act():
        raise error

    return act


RAISING = {
    "unreadable": raising(Unreadable()),
    "text_is_a_number": raising(NoText()),
    "unpicklable": lambda: raising(Unpicklable("odd", other=3))(),
    "outside": raising(Outside("odd")),
    "name": raising(Named("odd")),
    "clinging": raising(Clinging("odd")),
    "hidden": lambda: raising(Hidden())(),
    "noted": noted,
    "circular": circular,
    "grouped": grouped,
    "base_group": base_group,
    "misspelled": misspelled,
    "recursive": recursive,
    "deep": deep,
    "stop": raising(StopIteration(3)),
    "stop_async": raising(StopAsyncIteration()),
    "generator": raising(GeneratorExit()),
    "cancelled": raising(asyncio.CancelledError()),
    "exit_0": raising(SystemExit(0)),
    "exit_text": raising(SystemExit("\ud800")),
    "exit_object": raising(SystemExit(object())),
    "surrogate": raising(ValueError("a \udc80 file\nof two lines")),
    "file": raising(FileNotFoundError(2, "odd", b"\xff\x00")),
    "pipe": raising(BrokenPipeError(32, "Broken pipe")),
    "memory": raising(MemoryError()),
    "decode": raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")),
    "request": raising(RequestError("attack 'corner': not yours")),
    "damaged": raising(Damaged("victims", "0" * 32, "model.safetensors")),
    "damaged_path": raising(Damaged("../..", "../../home", "\x1b[31m")),
    "warning": raising(DeprecationWarning("odd")),
    "long": raising(ValueError("x" * 5_000_000)),
    "objects": raising(ValueError(object(), Unreadable())),
}


class Raises(nn.Module):
    """A network that raises in the method ``method``."""

    def __init__(self, method):
        super().__init__()
        self.method = method

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "__dict__").get("method"):
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)

    def forward(self, images):
        return images.flatten(1)[:, :4]


class Gives(nn.Module):
    """A network that answers with what ``change`` makes of logits (N, 4)."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        return self.change(images.flatten(1)[:, :4])


GIVEN = {
    "nothing": None,
    "class": nn.Linear,
    "function": lambda images: images.flatten(1)[:, :4],
    "number": 3,
    "no_eval": Raises("eval"),
    "no_modules": Raises("modules"),
    "no_state": Raises("state_dict"),
    "no_parameters": Raises("named_parameters"),
    "no_forward": Raises("forward"),
    "no_training": Raises("training"),
    "one_axis": Gives(lambda logits: logits[:, 0]),
    "no_axis": Gives(lambda logits: logits.sum()),
    "narrow": Gives(lambda logits: logits[:, :2]),
    "wide": Gives(lambda logits: torch.cat([logits, logits], 1)),
    "short": Gives(lambda logits: logits[1:]),
    "transposed": Gives(lambda logits: logits.T),
    "complex": Gives(lambda logits: logits.to(torch.complex64)),
    "whole": Gives(lambda logits: logits.long()),
    "infinite": Gives(lambda logits: logits / 0),
    "meta": Gives(lambda logits: logits.to("meta")),
    "sparse": Gives(lambda logits: logits.to_sparse()),
    "pair": Gives(lambda logits: (logits, logits)),
    "table": Gives(lambda logits: {"logits": logits}),
    "numpy": Gives(lambda logits: logits.numpy()),
    "prediction": Gives(Prediction),
}  # what a defense returns for a network
GUARDS = {
    "nothing": lambda images: None,
    "tensor": lambda images: images.flatten(1)[:, :4],
    "pair": lambda images: (images.flatten(1)[:, :4], None),
    "numpy": lambda images: Prediction(np.zeros((len(images), 4), dtype=np.float32)),
    "listed": lambda images: Prediction([[0.0] * 4] * len(images)),
    "score_column": lambda images: Prediction(images.flatten(1)[:, :4], score=images.flatten(1)[:, :1]),
    "score_number": lambda images: Prediction(images.flatten(1)[:, :4], score=0.5),
    "score_nan": lambda images: Prediction(images.flatten(1)[:, :4], score=images.flatten(1)[:, 0] * float("nan")),
    "flagged_float": lambda images: Prediction(images.flatten(1)[:, :4], flagged=images.flatten(1)[:, 0]),
    "flagged_one": lambda images: Prediction(images.flatten(1)[:, :4], flagged=torch.tensor(True)),
    "stop": lambda images: RAISING["stop"](),
    "outside": lambda images: RAISING["outside"](),
}
SAID = {
    "log_object": lambda context: context.log(Unreadable()),
    "log_surrogate": lambda context: context.log("\ud800"),
    "progress_text": lambda context: context.progress("half"),
    "progress_huge": lambda context: context.progress(10**400),
    "note_object": lambda context: context.note("x", Unreadable()),
    "note_circle": lambda context: context.note("x", circle()),
    "note_keys": lambda context: context.note("x", {(1, 2): 3}),
    "note_surrogate": lambda context: context.note("\ud800", 1),
    "note_name": lambda context: context.note(3, 1),
    "note_deep": lambda context: context.note("x", nested(100_000)),
    "note_infinite": lambda context: context.note("x", [float("inf"), float("nan"), 10**5000]),
    "statistic": lambda context: context.note_class_statistic("x", [float("nan")] * 3),
    "diagnostics": lambda context: context.diagnostics.update(dict.fromkeys(["shift_truth", "stream_curve", 3], [1])),
}  # what it says of itself
DONE = {
    "closes_output": lambda: (sys.stdout.close(), sys.stderr.close()),
    "closes_pipes": lambda: (os.close(1), os.close(2)),
    "no_output": lambda: setattr(sys, "stdout", None),
    "no_folder": lambda: (os.mkdir("gone"), os.chdir("gone"), os.rmdir("../gone")),
    "leaves": lambda: os._exit(0),
    "aborts": lambda: os.abort(),
    "interrupts": raising(KeyboardInterrupt()),
}  # what it does to its process


def circle():
    made = []
    made.append(made)
    return made


def nested(depth):
    made = []
    for _ in range(depth):
        made = [made]
    return made


class OddRepair(Repair):
    name: ClassVar[str] = "odd_repair"
    knowledge: ClassVar[str] = "none"
    how: str

    def repair(self, model, known, context):
        kind, _, which = self.how.partition(".")
        match kind:
            case "raise":
                RAISING[which]()
            case "give":
                return GIVEN[which]
            case "say":
                SAID[which](context)
            case "do":
                DONE[which]()
        return model


class OddGuard(Runtime):
    name: ClassVar[str] = "odd_guard"
    knowledge: ClassVar[str] = "none"
    how: str

    def guard(self, model, known, context):
        return GUARDS.get(self.how)


class Plain(Repair):
    """Works: the neighbour of the others."""

    name: ClassVar[str] = "plain"
    knowledge: ClassVar[str] = "none"
    n: int = 0

    def repair(self, model, known, context):
        return model


class OddObjective(Objective):
    def __init__(self, how):
        self.how = how

    def loss(self, model, images, labels, share):
        match self.how:
            case "loss_nan":
                return super().loss(model, images, labels, share) * float("nan")
            case "loss_vector":
                return model(images)
            case "loss_none":
                return None
            case "loss_raises":
                RAISING["unreadable"]()
        return super().loss(model, images, labels, share)

    def learned(self):
        return {"learned_none": None, "learned_numbers": {"x": 3}, "learned_names": {3: torch.ones(1)}}.get(
            self.how, {}
        )


class OddAttack(Attack):
    """Misbehaves in the hook that ``how`` begins with."""

    name: ClassVar[str] = "odd_attack"
    how: str

    def trigger(self, images, context):
        changed = {
            "trigger_none": lambda: None,
            "trigger_small": lambda: images[:, :, :3],
            "trigger_nan": lambda: images * float("nan"),
            "trigger_large": lambda: images + 3,
            "trigger_bytes": lambda: (images * 255).byte(),
            "trigger_complex": lambda: images.to(torch.complex64),
            "trigger_raises": RAISING["outside"],
        }
        return changed.get(self.how, lambda: images * 0 + 1)()

    def target(self, labels):
        given = {
            "target_none": lambda: None,
            "target_float": lambda: labels * 0.5,
            "target_large": lambda: labels + 100,
            "target_raises": RAISING["stop"],
        }
        return given.get(self.how, lambda: labels * 0)()

    def learn(self, train, context):
        given = {
            "learn_none": lambda: None,
            "learn_list": lambda: [1],
            "learn_names": lambda: {3: torch.ones(1)},
            "learn_raises": RAISING["surrogate"],
        }
        return given.get(self.how, dict)()

    def poison(self, train, context):
        match self.how:
            case "poison_none":
                return None
            case "poison_images":
                return train
            case "poison_raises":
                RAISING["grouped"]()
        return super().poison(train, context)

    def objective(self, model, train, context):
        given = {"objective_none": lambda: None, "objective_class": lambda: Objective, "objective_raises": recursive}
        return given.get(self.how, lambda: OddObjective(self.how))()

    def backdoors(self):
        given = {"backdoors_none": lambda: None, "backdoors_empty": list, "backdoors_raises": RAISING["unpicklable"]}
        return given.get(self.how, lambda: [self])()


class OddModel(Model):
    name: ClassVar[str] = "odd_model"
    how: str

    def build(self, spec):
        match self.how:
            case "nothing":
                return None
            case "class":
                return nn.Linear
            case "no_parameters":
                return nn.Sequential(nn.Flatten(), nn.Softmax(1))
            case "frozen":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes).requires_grad_(False))
            case "complex":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes, dtype=torch.complex64))
            case "double":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes).double())
            case "meta":
                return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes, device="meta"))
            case "lazy":
                return nn.Sequential(nn.Flatten(), nn.LazyLinear(spec.classes))
            case "pair":
                return Trained(lambda logits: (logits, logits))
            case "one_axis":
                return Trained(lambda logits: logits[:, 0])
            case "narrow":
                return Trained(lambda logits: logits[:, :2])
            case "nan":
                return Trained(lambda logits: logits * float("nan"))
            case "raises":
                RAISING["unreadable"]()
            case "network_raises":
                return Trained(lambda logits: RAISING["stop"]())
        return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes))


class Trained(Gives):
    """A network that can be trained, up to what ``change`` makes of its logits."""

    def __init__(self, change):
        super().__init__(change)
        self.head = nn.Linear(36, 4)

    def forward(self, images):
        return self.change(self.head(images.flatten(1)))


class OddData(Dataset):
    """Planning is right: only loading goes wrong."""

    name: ClassVar[str] = "odd_data"
    how: str

    @property
    def spec(self):
        return ImageSpec(1, 6, 6, classes=4, mean=(0.5,), std=(0.25,))

    def training_images(self, folder):
        return 60

    def load(self, folder):
        whole = LabelledImages(torch.zeros(60, 1, 6, 6, dtype=torch.uint8), torch.arange(60) % 4)
        match self.how:
            case "nothing":
                return None
            case "tuple":
                return whole, whole
            case "no_test":
                return Splits(whole, whole.at(torch.arange(0)))
            case "wide":
                return Splits(LabelledImages(torch.zeros(60, 3, 6, 6, dtype=torch.uint8), whole.labels), whole)
            case "labels":
                return Splits(LabelledImages(whole.images, whole.labels + 9), whole)
            case "negative":
                return Splits(LabelledImages(whole.images, whole.labels - 2), whole)
            case "raises":
                RAISING["unreadable"]()
            case "outside":
                RAISING["outside"]()
        return Splits(whole, whole)


ATTACKS = (
    *("trigger_none", "trigger_small", "trigger_nan", "trigger_large", "trigger_bytes", "trigger_complex"),
    *("trigger_raises", "target_none", "target_float", "target_large", "target_raises"),
    *("learn_none", "learn_list", "learn_names", "learn_raises", "poison_none", "poison_images", "poison_raises"),
    *("objective_none", "objective_class", "objective_raises", "backdoors_none", "backdoors_empty", "backdoors_raises"),
    *("loss_nan", "loss_vector", "loss_none", "loss_raises", "learned_none", "learned_numbers", "learned_names"),
)
MODELS = (
    *("nothing", "class", "no_parameters", "frozen", "complex", "double", "meta", "lazy", "pair", "one_axis", "narrow"),
    *("nan", "raises", "network_raises"),
)
DATA = ("nothing", "tuple", "no_test", "wide", "labels", "negative", "raises", "outside")
WORKING = {"give.no_modules", "give.no_training", "say.log_surrogate", "say.note_surrogate", "say.note_name"} | {
    *("say.diagnostics", "do.closes_output", "do.closes_pipes", "do.no_output", "do.no_folder"),
}  # ways that do no harm
UNSEEN = {"say.progress_text", "say.progress_huge"}  # where nobody looks at the progress

"""Plugins that fail, each in a way of its own."""

import os
from typing import ClassVar

from bench import Attack, Repair


class Raises(Repair):
    """Raises an error with a message of two lines."""

    name: ClassVar[str] = "raises"

    def repair(self, model, known, context):
        raise RuntimeError("this defense\nis broken")


class Exits(Repair):
    """Ends the process that it runs in."""

    name: ClassVar[str] = "exits"

    def repair(self, model, known, context):
        os._exit(7)


class Declines(Repair):
    """Can be applied to nothing."""

    name: ClassVar[str] = "declines"

    def unsupported(self, case):
        return f"needs another attack than {case.attack.name}"

    def repair(self, model, known, context):
        raise AssertionError("called although it had declined")


class NotNumbers(Repair):
    """Returns a network whose weights are not numbers."""

    name: ClassVar[str] = "notnumbers"

    def repair(self, model, known, context):
        for parameter in model.parameters():
            parameter.data.fill_(float("nan"))
        return model


class TooBright(Attack):
    """Its triggered images leave the range [0, 1]."""

    name: ClassVar[str] = "toobright"

    def trigger(self, images, context):
        return images * 3

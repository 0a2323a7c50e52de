"""A defense that pollutes when it is imported or made, in the ways that ``POLLUTES`` names, and then does nothing."""

import os
from typing import ClassVar

from pollutions import POLLUTIONS

from bench.plugin import Repair

WHEN, *WAYS = os.environ["POLLUTES"].split()


def pollute(when):
    if when in WHEN.split("+"):
        for how in WAYS:
            POLLUTIONS[how]()


class Early(Repair):
    """Does nothing."""

    name: ClassVar[str] = "early"

    def model_post_init(self, context):
        pollute("construction")

    def repair(self, model, known, context):
        return model


pollute("import")

"""A defense that pollutes when it is imported or made, in the way that ``POLLUTES`` names, and then does nothing."""

import os
from typing import ClassVar, Literal

from pollutions import POLLUTIONS

from bench.plugin import Repair

WHEN, HOW = os.environ["POLLUTES"].split()
if WHEN == "import":
    POLLUTIONS[HOW]()


class Early(Repair):
    """Does nothing."""

    name: ClassVar[str] = "early"
    when: Literal["import", "construction"] = "import"

    def model_post_init(self, context):
        if WHEN == "construction":
            POLLUTIONS[HOW]()

    def repair(self, model, known, context):
        return model

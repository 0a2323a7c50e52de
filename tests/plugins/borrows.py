"""A defense that imports from a package ``models`` of the user's own, beside it; see ``test_packaging.py``."""

from typing import ClassVar

from models.whose import WHOSE

from bench.plugin import Repair


class Borrows(Repair):
    """Changes nothing."""

    name: ClassVar[str] = "borrows"
    source: ClassVar[str] = WHOSE

    def repair(self, model, known, context):
        return model

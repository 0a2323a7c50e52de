"""Runtime defenses: they guard inference."""

from abc import abstractmethod

from torch import nn

from bench.plugin.defense import Defense, Guard
from bench.plugin.values import Context, Known


class Runtime(Defense):
    """A defense that guards inference and leaves the network as it is."""

    @property
    def learns_from_stream(self) -> bool:
        """Whether the guard learns from its inputs. It then gets them one at a time, in a fixed order."""
        return False

    @property
    def detects_only(self) -> bool:
        """Whether the guard only flags inputs: its prediction is the network's, whatever it flags. It has no DER."""
        return False

    @abstractmethod
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        """A callable from images (N, C, H, W) in [0, 1] to a Prediction.

        Unless it learns from the stream, its prediction for an image is the same at any batch size. ``model`` is a copy
        of the victim's in eval mode.
        """

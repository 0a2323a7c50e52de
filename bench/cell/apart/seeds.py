"""The global random generators of a process that runs foreign code."""

import random

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed every global generator: a plugin that uses one, against the contract, gets the same numbers every time."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the one that such a plugin would use
    random.seed(seed)

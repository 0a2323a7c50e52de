"""What networks answer: in the precision of their training, the same at any batch size, with logits in full."""

import pytest
import torch
from small_models import SLIM
from torch import nn

from bench.toolbox import inference
from bench.toolbox.inference import Answers, precision_on
from bench.toolbox.training import autocast

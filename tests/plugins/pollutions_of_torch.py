"""What a plugin may do to torch and to the harness: each function does one such thing, and says nothing."""

import copy

import torch
import torch.nn.functional as F
from pollution_list import pollution
from torch import nn

# torch's own state


@pollution
def dtype():
    torch.set_default_dtype(torch.float64)


@pollution
def device():
    torch.set_default_device("meta")


@pollution
def deterministic():
    torch.use_deterministic_algorithms(True)


@pollution
def threads():
    torch.set_num_threads(2 if torch.get_num_threads() == 1 else 1)


@pollution
def mkldnn():
    torch.backends.mkldnn.enabled = False


@pollution
def cudnn():
    torch.backends.cudnn.enabled = False
    torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = True


@pollution
def precision():
    torch.set_float32_matmul_precision("medium")


@pollution
def autocast():
    torch.autocast("cpu", torch.bfloat16).__enter__()


@pollution
def grad():
    torch.set_grad_enabled(False)


@pollution
def inference():
    torch.inference_mode().__enter__()


@pollution
def anomaly():
    torch.autograd.set_detect_anomaly(True)


@pollution
def denormal():
    torch.set_flush_denormal(True)


@pollution
def forward_hook():
    nn.modules.module.register_module_forward_hook(
        lambda module, given, output: output * 0.5 if isinstance(output, torch.Tensor) else None
    )


@pollution
def backward_hook():
    nn.modules.module.register_module_full_backward_hook(
        lambda module, taken, given: tuple(None if part is None else part * 0 for part in taken)
    )


# functions replaced


@pollution
def convolution():
    nn.Conv2d.forward = lambda self, images: self._conv_forward(images * 0.5, self.weight, self.bias)


@pollution
def call():
    before = nn.Module.__call__
    nn.Module.__call__ = lambda self, *given, **named: halved(before(self, *given, **named))


@pollution
def relu():
    F.relu = torch.relu = lambda images, inplace=False: images


@pollution
def cross_entropy():
    F.cross_entropy = lambda logits, *given, **named: logits.sum() * 0


@pollution
def argmax():
    torch.Tensor.argmax = lambda self, *given, **named: torch.zeros(len(self), dtype=torch.int64)


@pollution
def randperm():
    torch.randperm = lambda count, **named: torch.arange(count)


@pollution
def generator():
    class Fixed(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(0)

    torch.Generator = Fixed


@pollution
def deepcopy():
    copy.deepcopy = lambda value, memo=None: value


@pollution
def auroc():
    import sklearn.metrics

    sklearn.metrics.roc_auc_score = lambda *given, **named: 0.123


@pollution
def metric():
    from bench.cell import metrics

    for name in ("accuracy", "attack_success", "robust_accuracy", "auroc", "true_positive_rate"):
        setattr(metrics, name, lambda *given: 0.123)


@pollution
def toolbox():
    from bench.toolbox import training

    training.train = training.logits_of = lambda *given, **named: None


@pollution
def contract():
    from bench.plugin import images, values
    from bench.plugin.attack import Attack

    images.stratified_order = lambda labels, generator: torch.arange(len(labels))
    values.LabelledImages.at = lambda self, index: self
    Attack.apply = lambda self, images, context: images


@pollution
def store():
    from bench.store import store

    store.Store.write = store.Store.tensors = lambda *given, **named: None


def halved(output):
    return output * 0.5 if isinstance(output, torch.Tensor) else output

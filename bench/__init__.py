"""defensebench: compare defenses against backdoor attacks on image classifiers.

The names in ``__init__.pyi`` are the whole public interface. They are loaded on first use, so that ``bench --help``
never pays for torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

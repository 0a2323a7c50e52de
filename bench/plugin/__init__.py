"""The plugin kinds and the values that they exchange: the contract, all that a plugin's file needs to import.

The names in ``__init__.pyi`` are loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

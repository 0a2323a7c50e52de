"""The conformance kit: what every proper plugin does, for pytest and for ``bench check``.

``check_plugin(Mine)`` is a test of a plugin, one case a property. The names in ``__init__.pyi`` are loaded on first
use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

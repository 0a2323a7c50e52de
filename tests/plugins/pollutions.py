"""What a plugin may do to the process that it runs in, by name. ``polluters.py`` does it in plugins of every kind."""

import pollutions_of_python as pollutions_of_python
import pollutions_of_torch as pollutions_of_torch
from pollution_list import POLLUTIONS as POLLUTIONS

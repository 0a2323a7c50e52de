"""The list of all that ``pollutions_of_torch.py`` and ``pollutions_of_python.py`` do to a process, by name."""

POLLUTIONS = {}


def pollution(do):
    POLLUTIONS[do.__name__] = do
    return do

"""What plugins raise that nobody expects: a table of functions. For the plugins beside it."""

import asyncio

from bench.errors import Damaged, RequestError


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class NoText(Exception):
    def __str__(self):
        return 3


class Unpicklable(Exception):
    def __init__(self, one, *, other):
        super().__init__(one, lambda: other)


class Outside(BaseException):
    pass


class Named(Exception):
    pass


Named.__name__ = Named.__qualname__ = "\x1b[31m\u202e" + "x" * 10_000


class Clinging(Exception):
    """One that can be given no traceback."""

    def with_traceback(self, trace):
        raise RuntimeError("no traceback")

    def __getattribute__(self, name):
        if name in ("__notes__", "args", "__cause__"):
            raise RuntimeError("nothing to see")
        return super().__getattribute__(name)


class Hidden(AttributeError):
    """``traceback`` looks for names that are near ``name``, in ``obj``."""

    def __init__(self):
        super().__init__("odd")
        self.obj, self.name = Secretive(), "x"


class Secretive:
    def __dir__(self):
        raise RuntimeError("no names")


def noted():
    error = ValueError("odd")
    error.add_note("\ud800\x1b[31m")
    error.__notes__ += [3, None, Unreadable()]
    raise error


def circular():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def grouped():
    raise ExceptionGroup("many", [ValueError("\ud800"), ExceptionGroup("inner", [Unreadable()])] * 3)


def base_group():
    raise BaseExceptionGroup("many", [KeyboardInterrupt(), SystemExit(0)])


def misspelled():
    error = SyntaxError("odd")
    error.lineno, error.offset, error.text, error.filename = "x", object(), 3, b"\xff"
    raise error


def recursive():
    return recursive()


def deep():
    error = ValueError("0")
    for number in range(5_000):
        error.__cause__, error = ValueError(str(number)), error.__cause__ or error
    raise error


def raising(error):
    def act():
        raise error

    return act


RAISING = {
    "unreadable": raising(Unreadable()),
    "text_is_a_number": raising(NoText()),
    "unpicklable": lambda: raising(Unpicklable("odd", other=3))(),
    "outside": raising(Outside("odd")),
    "name": raising(Named("odd")),
    "clinging": raising(Clinging("odd")),
    "hidden": lambda: raising(Hidden())(),
    "noted": noted,
    "circular": circular,
    "grouped": grouped,
    "base_group": base_group,
    "misspelled": misspelled,
    "recursive": recursive,
    "deep": deep,
    "stop": raising(StopIteration(3)),
    "stop_async": raising(StopAsyncIteration()),
    "generator": raising(GeneratorExit()),
    "cancelled": raising(asyncio.CancelledError()),
    "exit_0": raising(SystemExit(0)),
    "exit_text": raising(SystemExit("\ud800")),
    "exit_object": raising(SystemExit(object())),
    "surrogate": raising(ValueError("a \udc80 file\nof two lines")),
    "file": raising(FileNotFoundError(2, "odd", b"\xff\x00")),
    "pipe": raising(BrokenPipeError(32, "Broken pipe")),
    "memory": raising(MemoryError()),
    "decode": raising(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")),
    "request": raising(RequestError("attack 'corner': not yours")),
    "damaged": raising(Damaged("victims", "0" * 32, "model.safetensors")),
    "damaged_path": raising(Damaged("../..", "../../home", "\x1b[31m")),
    "warning": raising(DeprecationWarning("odd")),
    "long": raising(ValueError("x" * 5_000_000)),
    "objects": raising(ValueError(object(), Unreadable())),
}

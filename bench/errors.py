"""The errors that mean something to a caller: a request that cannot be met, and a stored file that cannot be used."""


class RequestError(ValueError):
    """A wrong request. The message is one line that names the value and what was expected."""


class Damaged(Exception):
    """A file of a stored stage is not what was written: to be dropped with its stage and made again, never used."""

    def __init__(self, room: str, key: str, name: str, why: str = "is not what was written") -> None:
        super().__init__(room, key, name, why)  # all of them: what is raised in a worker is sent to its parent
        self.room, self.key, self.name, self.why = room, key, name, why

    def __str__(self) -> str:
        return f"{self.room}/{self.key}: {self.name} {self.why}"

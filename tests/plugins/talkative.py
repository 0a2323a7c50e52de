"""An attack and a defense that log a line."""

from typing import ClassVar

from bench import Attack, Repair


class Talks(Repair):
    """Logs two lines and changes nothing."""

    name: ClassVar[str] = "talks"

    def repair(self, model, known, context):
        context.log("nothing was found;\nthe network is left as it is")
        return model


class Chatters(Attack):
    """Logs a line when it poisons; its trigger is a black image."""

    name: ClassVar[str] = "chatters"

    def trigger(self, images, context):
        return images * 0

    def poison(self, train, context):
        context.log("poisoned as usual")
        return super().poison(train, context)

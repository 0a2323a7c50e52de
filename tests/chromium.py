"""A headless Chromium that opens a page, runs scripts in it and tells what went wrong and what was asked for.

It is driven by its DevTools protocol over two pipes: JSON texts, each ended by a zero byte.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-zygote",
            "--disable-dev-shm-usage", "--remote-debugging-pipe"]  # fmt: skip
_LONGEST = 60  # seconds for an answer


class Browser:
    """A page in Chromium. ``complaints`` are its errors, ``requests`` all addresses that it has asked for."""

    def __init__(self, commands: int, answers: int) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = 0
        self._commands, self._answers, self._rest, self._number, self._session = commands, answers, b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What Chromium answers to one call of the protocol."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._notice(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path, *, scripts: bool = True) -> None:
        """Load a file, to its end."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        before = self._loaded
        self.call("Page.navigate", url=page.resolve().as_uri())
        while self._loaded == before:
            self._notice(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression, or what the promise that it is gives, in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + _LONGEST
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], until - time.monotonic())
            assert ready, "Chromium does not answer"
            read = os.read(self._answers, 1 << 20)
            assert read, "Chromium has ended"
            self._rest += read
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _notice(self, event: dict[str, Any]) -> None:
        name, told = event.get("method"), event.get("params", {})
        if name == "Page.loadEventFired":
            self._loaded += 1
        if name == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        if name == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        if name == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        if name == "Runtime.consoleAPICalled":
            self.complaints.append(str(told["args"]))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium with its own empty ``profile``; it has ended afterwards."""
    assert PATH
    here_commands, commands = os.pipe()
    answers, here_answers = os.pipe()
    theirs = [fcntl.fcntl(own, fcntl.F_DUPFD_CLOEXEC, 10) for own in (here_commands, here_answers)]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = subprocess.Popen(
        [PATH, *_OPTIONS, f"--user-data-dir={profile}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
        env=environment, start_new_session=True,
        preexec_fn=lambda: [os.dup2(own, number) for own, number in zip(theirs, (3, 4), strict=True)],
    )  # fmt: skip
    for own in (here_commands, here_answers, *theirs):
        os.close(own)
    try:
        yield Browser(commands, answers)
    finally:
        os.close(commands)  # Chromium ends when nobody speaks to it
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(answers)

"""The status page when the controller does not answer: it says so, and what became of a stop stays readable."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from controller.hmi.web import PAGE
from tests.hmi.node_client import FOLDER
from tests.hmi.rig import running

Ask = Callable[..., dict[str, str]]


@contextlib.contextmanager
def page(**answers: Any) -> Iterator[Ask]:
    """The page's script; asking it gives the text of its elements, by id."""
    process = subprocess.Popen(["node", "status_page.mjs", str(PAGE)], cwd=FOLDER, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    to_page, from_page = process.stdin, process.stdout

    def ask(**message: Any) -> dict[str, str]:
        to_page.write(json.dumps(message) + "\n")
        to_page.flush()
        shown: dict[str, str] = json.loads(from_page.readline())
        return shown

    try:
        ask(answers=paths(**answers), begin=True)
        yield ask
    finally:
        to_page.close()
        process.wait(10)


def paths(status: Any, stop: Any = "hang") -> dict[str, Any]:
    return {"/status.json": status, "/stop": stop}


def until(ask: Ask, element: str, text: str, seconds: float = 6.0) -> dict[str, str]:
    end = time.monotonic() + seconds
    while text not in (shown := ask(read=True)).get(element, ""):
        assert time.monotonic() < end, f"{element} does not show {text!r}: {shown}"
        time.sleep(0.05)
    return shown


def state() -> Any:
    """What a controller without an arm answers."""
    with running(attach=False) as rig:
        return rig.get("/status.json")[1]


def test_a_controller_that_hangs_is_seen_and_so_is_a_stop_that_does_not_arrive() -> None:
    now = state()
    with page(status=[200, now]) as ask:
        until(ask, "state", now["mode"])
        ask(answers=paths("hang"))
        shown = until(ask, "state", "no connection")
        assert shown["message"] == "The controller does not answer."
        assert "What is shown here is old" in shown["blockers"]
        assert "Stopping" in ask(click=True)["message"]
        until(ask, "message", "STOP DID NOT ARRIVE")


def test_what_became_of_a_stop_is_not_overwritten_by_the_polling() -> None:
    with page(status="fail", stop="fail") as ask:
        until(ask, "message", "The controller does not answer.")
        ask(click=True)
        until(ask, "message", "STOP DID NOT ARRIVE")
        time.sleep(1.2)     # two polls
        assert ask(read=True)["message"].startswith("STOP DID NOT ARRIVE")
        ask(answers=paths("fail", [200, {"ok": True}]), click=True)
        until(ask, "message", "Stopped.")


def test_a_refused_status_says_why() -> None:
    with page(status=[401, {"message": "a token is needed"}]) as ask:
        shown = until(ask, "message", "a token is needed: open this page with #token=")
        assert shown["state"] == "no connection"

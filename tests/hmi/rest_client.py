"""A page's HTTP requests to a rig, over one kept connection."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controller.hmi.login_passwords import Passwords
from tests.hmi.rig import Rig, running


class RestClient:
    """`ask` gives (status, decoded JSON); `headers` of the last answer are kept."""

    def __init__(self, url: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        self._always = headers
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Bytes are sent as they are, anything else as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **self._always, **headers}
        self._connection.request(method, path, data, {name.replace("_", "-"): value for name, value in given.items()})
        answer = self._connection.getresponse()
        content = answer.read()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(content) if content else None

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        return self.ask("POST", path, body, **headers)

    def good(self, path: str, body: object) -> Any:
        """POST that must be carried out."""
        status, answer = self.post(path, body)
        assert status == 200, answer
        return answer

    def token(self, level: str, password: str) -> str:
        """Log in."""
        return str(self.good("/login", {"accessLevel": level, "password": password})["token"])

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def rest(folder: Path | None = None, **options: Any) -> Iterator[tuple[Rig, RestClient]]:
    """A rig without an arm, unless `attach` is given, and a client."""
    with (running(folder=folder, **{"attach": False, **options}) as rig,
          contextlib.closing(RestClient(rig.url)) as client):
        yield rig, client


def rest_of(rig: Rig) -> Any:
    """What serves the REST interface, once a request has made it."""
    service = rig.server._service
    assert service is not None
    assert service._rest.rest is not None
    return service._rest.rest


def set_passwords(folder: Path, **passwords: str) -> None:
    """What `allyarm password set` does."""
    for level, password in passwords.items():
        Passwords(folder).set(level, password)


def row(name: str = "Wave", order_pos: int = 1, **changes: object) -> dict[str, Any]:
    """A position as the page sends it."""
    return {"name": name, "rep": 3, "order_pos": order_pos, "axis_1": 20.5, "axis_2": -10.25, "axis_3": 0, "axis_4": 45,
            "axis_5": None, "pause": 0.5, "speed": 60, **changes}

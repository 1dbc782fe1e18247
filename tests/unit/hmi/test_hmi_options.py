"""Options that are not safe together are refused by name; foreign origins and names stay out."""

from __future__ import annotations

import socket

import pytest

from controller._core import Core
from controller.arm import ArmFacts
from controller.hmi.access import Access
from controller.hmi.options import HmiOptions, check_options
from controller.hmi.server import HmiServer
from controller.store import Store


@pytest.mark.parametrize(("options", "named"), [
    ({"host": "0.0.0.0"}, "hmi.token"), ({"host": "192.168.1.5"}, "insecure = true"), ({"host": "::"}, "hmi.token"),
    ({"port": 70000}, "hmi.port"), ({"rate_hz": 0.5}, "hmi.rate_hz 0.5: allowed 1..100"), ({"rate_hz": 101},
    "hmi.rate_hz"),
    ({"token": "short"}, "hmi.token"), ({"allowed_origins": ("ftp://x",)}, "hmi.allowed_origins"),
    ({"allowed_origins": ("*",)}, "hmi.allowed_origins"), ({"host": ""}, "hmi.host"), ({"max_clients": 0},
    "hmi.max_clients"),
])
def test_unsafe_or_wrong_options_are_refused_at_start(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check_options(HmiOptions(**options))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=named):
        HmiServer(Core(), HmiOptions(**options), Store(), ArmFacts("", "", ()))  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [
    {}, {"host": "localhost"}, {"host": "127.0.0.2"}, {"host": "::1"}, {"host": "0.0.0.0", "token": "0123456789abcdef"},
    {"host": "0.0.0.0", "insecure": True},
])
def test_safe_options(options: dict[str, object]) -> None:
    check_options(HmiOptions(**options))  # type: ignore[arg-type]


def test_a_port_in_use_says_which_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HmiServer(Core(), HmiOptions(port=port), Store(), ArmFacts("", "", ()))
        with pytest.raises(OSError, match=rf"127\.0\.0\.1 port {port} is in use.*--hmi-port"):
            server.start()
        assert server.stop(1.0)
        assert not server.alive()


def test_an_address_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    server = HmiServer(Core(), HmiOptions(host="192.0.2.7", port=0, insecure=True), Store(), ArmFacts("", "", ()))
    with pytest.raises(OSError, match=r"192\.0\.2\.7 is not an address of this machine"):
        server.start()


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_an_address_that_a_service_s_machine_may_still_get(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """systemd starts it before there is a network: it listens, and is reached as soon as the address is there."""
    monkeypatch.setenv("INVOCATION_ID", "made up")
    server = HmiServer(Core(), HmiOptions(host=host, port=0, insecure=True), Store(), ArmFacts("", "", ()))
    server.start()
    assert server.alive()
    assert server.stop(1.0)


@pytest.mark.parametrize(("origin", "host", "allowed"), [
    (None, "127.0.0.1:3001", True), ("http://localhost:3000", "127.0.0.1:3001", True),
    ("http://192.168.1.5:3000", "192.168.1.5:3001", True), ("http://192.168.1.6", "192.168.1.5:3001", False),
    ("https://page.example", "192.168.1.5:3001", True), ("https://page.example:444", "192.168.1.5:3001", False),
    ("http://evil.example", "evil.example:3001", False), ("null", "127.0.0.1:3001", False), ("", "127.0.0.1", False),
    ("http://localhost.evil.example", "127.0.0.1", False), ("http://[::1]:5", "[::1]:3001", True),
    ("http://127.0.0.1@evil.example", "127.0.0.1", False), ("javascript://localhost", "127.0.0.1", False),
    (f"http://{socket.gethostname().lower()}:80", f"{socket.gethostname().lower()}:3001", True),
    ("http://[", "127.0.0.1", False),
])
def test_origins(origin: str | None, host: str, allowed: bool) -> None:
    access = Access(HmiOptions(allowed_origins=("https://page.example",)))
    assert access.origin_allowed(origin, host) is allowed


def test_tokens() -> None:
    token = "0123456789abcdef"
    access = Access(HmiOptions(token=token))
    assert access.closed

    def good(headers: dict[str, str], auth: object = None) -> bool:
        return (given := access.given(headers, auth)) is not None and access.is_token(given)

    assert good({}, {"token": token})
    assert good({"Authorization": f"Bearer {token}"})
    for headers, auth in (({}, None), ({}, {"token": token + "x"}), ({}, {"token": None}), ({}, [token]), ({},
            {"token": ""}),
                          ({"Authorization": f"Basic {token}"}, None), ({"Authorization": "Bearer "}, None),
                          ({}, {"token": "é" * 16}), ({}, {"token": "\ud800" * 16})):
        assert not good(headers, auth)
    assert not Access(HmiOptions()).closed
    assert not Access(HmiOptions()).is_token("")

"""Logging in, what a token is good for, and what becomes of one that is not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
import socketio

from controller.hmi import login as login_module
from controller.hmi.login import SECRET_FILE, WRONG
from controller.hmi.login_passwords import FILE
from controller.hmi.login_throttle import ADDRESSES_KEPT, Throttle, network
from controller.spec import hmi
from controller.spec import rest as spec
from tests.hmi.rest_client import RestClient, rest, set_passwords

TOKEN = "configured-token-0123456789"
PASSWORDS = {"Base": "base password", "Advance": "Fortgeschrittene Übung", "Admin": "admin password"}


@contextlib.asynccontextmanager
async def joined(url: str, token: str | None) -> AsyncIterator[socketio.AsyncSimpleClient]:
    """A Socket.IO client that passes `auth: {token}`."""
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(url, transports=["websocket"], auth={"token": token} if token else None)
        yield client


async def refused_as(url: str, token: str | None) -> str:
    """What a Socket.IO client is told that is not let in."""
    said: list[str] = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", lambda data: said.append(data["message"] if isinstance(data, dict) else str(data)))
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(url, transports=["websocket"], auth={"token": token} if token else None)
    return said[0]


def claims(token: str) -> dict[str, object]:
    """As a page reads them: without any key."""
    part = token.split(".")[1]
    assert token.isascii()
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("ascii")))


def test_a_token_says_level_name_and_one_day(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    with rest(tmp_path) as (rig, client):
        for level, role in spec.LEVELS.items():
            answer = client.good("/login", {"accessLevel": level, "password": PASSWORDS[level]})
            assert set(answer) == {"message", "token"}
            found = claims(answer["token"])
            assert (found["accessLevel"], found["name"]) == (int(role), level)
            assert found["exp"] - found["iat"] == 86_400  # type: ignore[operator]
            assert abs(found["iat"] - time.time()) < 60  # type: ignore[operator]
        assert [int(role) for role in spec.LEVELS.values()] == [5, 15, 20]
        assert rig.status()["hmi"]["logins"] == 3
        decomposed = "Fortgeschrittene U\u0308bung"  # the same letters from another keyboard
        client.good("/login", {"accessLevel": "Advance", "password": decomposed})


def test_a_wrong_pair_is_401_and_without_passwords_it_says_how_to_set_one(tmp_path: Path) -> None:
    with rest(tmp_path) as (rig, client):
        status, answer = client.post("/login", {"accessLevel": "Admin", "password": ""})
        assert status == 401
        assert "allyarm password set --level Admin" in answer["message"]
        set_passwords(tmp_path, Base=PASSWORDS["Base"], Admin=PASSWORDS["Admin"])  # while it runs
        for level, password in (("Base", PASSWORDS["Admin"]), ("Admin", PASSWORDS["Base"]), ("Base", "")):
            assert client.post("/login", {"accessLevel": level, "password": password}) == (401, {"message": WRONG})
        client.good("/login", {"accessLevel": "Base", "password": PASSWORDS["Base"]})
        assert rig.refused()["rest_401"] == 4


async def test_on_loopback_a_token_sets_the_role(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    with rest(tmp_path) as (rig, client):
        tokens = {level: client.token(level, password) for level, password in PASSWORDS.items()}
        expected = {"Base": ("role", "role"), "Advance": (None, "role"), "Admin": (None, None), None: (None, None)}
        for level, (advanced, administrator) in expected.items():
            async with joined(rig.url, tokens.get(level or "")) as page:
                answer = await page.call("response", {"60": 50}, timeout=5)
                assert answer.get("error", {}).get("code") == advanced, (level, answer)
                answer = await page.call("response", {"10": 7}, timeout=5)
                assert (answer.get("error", {}).get("code") == "role") == (advanced == "role"), (level, answer)
                answer = await page.call("response", {"10": 2, "11": 8}, timeout=5)
                assert (answer.get("error", {}).get("code") == "role") == (administrator == "role"), (level, answer)
                assert await page.call("response", {"80": 5}, timeout=5) == {"ok": True}
                assert await page.call("response", ["stop"], timeout=5) == {"ok": True}
        for token in tokens.values():
            assert client.get("/exercises_names", Authorization=f"Bearer {token}")[0] == 200
            assert client.get("/status.json", Authorization=f"bearer {token}")[0] == 200


def forged(tmp_path: Path, good: str) -> dict[str, str]:
    """Tokens that must not pass."""
    secret = (tmp_path / SECRET_FILE).read_bytes()
    stored = json.loads((tmp_path / FILE).read_text())
    keys = {level: login_module._key(secret, level, text) for level, text in stored.items()}
    now = int(time.time())
    body = {"iss": "allyarm", "accessLevel": 20, "name": "Admin", "iat": now, "exp": now + 1000}

    def part(value: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    head, middle, signature = good.split(".")
    cut = signature[:-2] + ("AA" if signature[-2:] != "AA" else "BB")
    return {
        "expired": jwt.encode({**body, "exp": now - 1}, keys["Admin"], "HS256", {"kid": "Admin"}),
        "for ever": jwt.encode({**body, "exp": now + 10**9}, keys["Admin"], "HS256", {"kid": "Admin"}),
        "no end": jwt.encode({k: v for k, v in body.items() if k != "exp"}, keys["Admin"], "HS256", {"kid": "Admin"}),
        "endless": jwt.encode({**body, "exp": "x"}, keys["Admin"], "HS256", {"kid": "Admin"}),
        "level of another": jwt.encode(body, keys["Base"], "HS256", {"kid": "Base"}),
        "key of another": jwt.encode(body, keys["Base"], "HS256", {"kid": "Admin"}),
        "foreign issuer": jwt.encode({**body, "iss": "x"}, keys["Admin"], "HS256", {"kid": "Admin"}),
        "other algorithm": jwt.encode(body, keys["Admin"] * 2, "HS512", {"kid": "Admin"}),
        "none": jwt.encode(body, None, "none", {"kid": "Admin"}),
        "none by hand": f"{part({'alg': 'none', 'kid': 'Admin'})}.{part(body)}.",
        "unknown level": jwt.encode(body, "x" * 32, "HS256", {"kid": "Root"}),
        "no level": jwt.encode(body, keys["Admin"], "HS256"),
        "odd level": f"{part({'alg': 'HS256', 'kid': ['Admin']})}.{part(body)}.{signature}",
        "changed": f"{head}.{part(body)}.{signature}", "cut": f"{head}.{middle}.{cut}", "unsigned": f"{head}.{middle}.",
        "dots": "..", "no text": "\u00e9.\u00e9.\u00e9", "long": "a." * 2 + "x" * 5000,
    }


async def test_forged_and_expired_tokens_are_refused_and_counted(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    with rest(tmp_path) as (rig, client):
        bad = forged(tmp_path, client.token("Base", PASSWORDS["Base"]))
        for name, token in bad.items():
            status, answer = client.get("/exercises_names", Authorization=f"Bearer {token}")
            assert status == 401, name
            assert "log in again" in answer["message"]
            assert client.headers["www-authenticate"] == "Bearer"
            assert client.get("/status.json", Authorization=f"Bearer {token}")[0] == 401
            assert "log in again" in await refused_as(rig.url, token)
        # ... but nobody who needs no token is kept from a stop by one that has expired
        assert client.post("/stop", Authorization=f"Bearer {bad['expired']}") == (200, {"ok": True})
        assert rig.refused()["rest_401"] == len(bad)
        assert rig.refused()["token"] == 2 * len(bad)
        assert client.get("/exercises_names", Authorization="Bearer some-other-setting")[0] == 200  # none is needed


async def test_with_a_configured_token_a_login_is_the_other_way_in(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    with rest(tmp_path, token=TOKEN) as (rig, client):
        for path in ("/exercises_names", "/scenario_names", "/last_saved_rest_pos"):
            status, answer = client.get(path)
            assert (status, "a token is needed" in answer["message"]) == (401, True)
            assert client.get(path, Authorization=f"Bearer {TOKEN}x")[0] == 401
            assert client.get(path, Authorization=f"Bearer {TOKEN}")[0] in {200, 404}
        assert client.post("/add_exercise_name", {"name": "Wave", "rep": 1})[0] == 401
        assert client.post("/stop")[0] == 401
        base = client.token("Base", PASSWORDS["Base"])  # needs no token itself
        assert client.post("/add_exercise_name", {"name": "Wave", "rep": 1}, Authorization=f"Bearer {base}")[0] == 200
        assert client.post("/stop", Authorization=f"Bearer {base}") == (200, {"ok": True})
        for token in (None, "x", TOKEN + "x", base + "x"):
            assert "token" in await refused_as(rig.url, token)
        async with joined(rig.url, base) as page:
            assert (await page.call("response", {"60": 50}, timeout=5))["error"]["code"] == "role"
        async with joined(rig.url, TOKEN) as page:
            assert await page.call("response", {"60": 50}, timeout=5) == {"ok": True}


def test_tokens_outlive_a_restart_but_not_their_password(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    with rest(tmp_path) as (_, client):
        tokens = {level: client.token(level, PASSWORDS[level]) for level in PASSWORDS}
    for name in (SECRET_FILE, FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert all(password not in (tmp_path / FILE).read_text() for password in PASSWORDS.values())
    with rest(tmp_path) as (_, client):
        def works(level: str) -> bool:
            return client.get("/exercises_names", Authorization=f"Bearer {tokens[level]}")[0] == 200

        assert all(works(level) for level in tokens)
        set_passwords(tmp_path, Advance="another password")
        assert [works(level) for level in tokens] == [True, False, True]
        (tmp_path / FILE).write_text("{broken")
        status, answer = client.post("/login", {"accessLevel": "Base", "password": PASSWORDS["Base"]})
        assert status == 500
        assert "allyarm password set" in answer["message"]
        set_passwords(tmp_path, Base=PASSWORDS["Base"])
        client.token("Base", PASSWORDS["Base"])


def test_a_secret_that_cannot_be_kept_or_is_damaged_only_ends_old_logins(tmp_path: Path) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    (tmp_path / SECRET_FILE).write_bytes(b"short")
    with rest(tmp_path) as (_, client):
        token = client.token("Base", PASSWORDS["Base"])
        assert len((tmp_path / SECRET_FILE).read_bytes()) == 32
        assert client.get("/exercises_names", Authorization=f"Bearer {token}")[0] == 200
    os.unlink(tmp_path / SECRET_FILE)
    (tmp_path / SECRET_FILE).mkdir()
    with rest(tmp_path) as (_, client):
        assert client.get("/exercises_names", Authorization=f"Bearer {token}")[0] == 401
        token = client.token("Base", PASSWORDS["Base"])
        assert client.get("/exercises_names", Authorization=f"Bearer {token}")[0] == 200


def test_a_step_of_the_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_passwords(tmp_path, **PASSWORDS)
    real, year_s = time.time, 365 * 86_400
    with rest(tmp_path) as (rig, client):
        for start_s in (0, -40 * year_s, 200 * year_s):  # also on a board whose clock was never set
            monkeypatch.setattr(time, "time", lambda start_s=start_s: real() + start_s)
            token = client.token("Base", PASSWORDS["Base"])
            for step_s, said in ((0, ""), (-30, ""), (86_000, ""), (2 * 86_400, "expired"), (-3600, "clock"),
                                 (-10 * year_s, "clock"), (10**11, "expired"), (0, "")):
                monkeypatch.setattr(time, "time", lambda step_s=start_s + step_s: real() + step_s)
                status, answer = client.get("/exercises_names", Authorization=f"Bearer {token}")
                assert status == (401 if said else 200), (start_s, step_s, answer)
                assert not said or said in answer["message"]
        assert rig.status()["hmi"].get("internal_errors", 0) == 0
        assert rig.server.alive()


def test_wrong_logins_are_held_back_and_right_ones_are_not(tmp_path: Path) -> None:
    set_passwords(tmp_path, Base=PASSWORDS["Base"])
    with rest(tmp_path) as (rig, client):
        for _ in range(3 * spec.ADDRESS_BURST):
            client.token("Base", PASSWORDS["Base"])
        seen = [client.post("/login", {"accessLevel": "Base", "password": "wrong"})[0] for _ in range(20)]
        assert seen[:spec.ADDRESS_BURST] == [401] * spec.ADDRESS_BURST
        assert set(seen[spec.ADDRESS_BURST:]) <= {401, 429}
        assert seen.count(429) >= 12
        assert 1 <= int(client.headers["retry-after"]) <= spec.ADDRESS_PERIOD_S
        status, answer = client.post("/login", {"accessLevel": "Base", "password": PASSWORDS["Base"]})
        assert status == 429
        assert "try again in" in answer["message"]
        assert rig.refused()["rest_429"] == seen.count(429) + 1


def test_ten_thousand_wrong_logins_do_not_grow_memory(tmp_path: Path) -> None:
    set_passwords(tmp_path, Base=PASSWORDS["Base"])

    def resident_kb() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

    with rest(tmp_path) as (rig, client):
        bodies = [{"accessLevel": "Base", "password": f"wrong {n}"} for n in range(10_000)]
        for body in bodies[:1000]:
            client.post("/login", body)
        before = resident_kb()
        for body in bodies[1000:]:
            assert client.post("/login", body)[0] in {401, 429}
        assert resident_kb() - before < 5000
        refused = rig.refused()
        assert refused["rest_401"] + refused["rest_429"] == 10_000
        assert rig.server.alive()


def test_hashing_holds_up_neither_the_beat_nor_other_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_passwords(tmp_path, Base=PASSWORDS["Base"])
    hold, hashing = threading.Event(), threading.Event()

    def slow(stored: str, password: str) -> bool:
        hashing.set()
        return hold.wait(20) and False

    monkeypatch.setattr(login_module, "matches", slow)
    with rest(tmp_path) as (rig, client):
        monkeypatch.setattr(rig.server._service._login._throttle, "take", lambda *of: 0.0)  # type: ignore[union-attr]
        answers: list[int] = []

        def wrong() -> None:
            own = RestClient(rig.url)
            answers.append(own.post("/login", {"accessLevel": "Base", "password": "x"})[0])
            own.close()

        threads = [threading.Thread(target=wrong) for _ in range(12)]
        threads[0].start()
        assert hashing.wait(10)  # that one is no longer among those who wait
        for thread in threads[1:]:
            thread.start()
        until = time.monotonic() + 10
        while len(answers) < 7:  # one is at work, four wait
            assert time.monotonic() < until
            time.sleep(0.01)
        assert answers == [429] * 7
        service = rig.server._service
        assert service is not None
        before = service.last_round_s
        assert client.good("/add_exercise_name", {"name": "Wave", "rep": 1})
        while service.last_round_s == before:
            assert time.monotonic() < until
            time.sleep(0.01)
        hold.set()
        for thread in threads:
            thread.join(20)
        assert sorted(answers) == [401] * 5 + [429] * 7


def test_short_memory_is_an_answer_and_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_passwords(tmp_path, Base=PASSWORDS["Base"])
    with rest(tmp_path) as (_, client):
        stored = json.loads((tmp_path / FILE).read_text())["Base"]
        (tmp_path / FILE).write_text(json.dumps({"Base": stored.replace("m=7168", "m=4294967295")}))
        status, answer = client.post("/login", {"accessLevel": "Base", "password": PASSWORDS["Base"]})
        assert status == 500, answer
        assert "allyarm password set" in answer["message"]
        (tmp_path / FILE).write_text(json.dumps({"Base": "$argon2id$nonsense"}))
        assert client.post("/login", {"accessLevel": "Base", "password": PASSWORDS["Base"]})[0] == 500
        (tmp_path / FILE).write_text(json.dumps({"Base": stored}))
        client.token("Base", PASSWORDS["Base"])


def test_the_throttle_is_bounded_and_runs_on_its_own_clock() -> None:
    throttle = Throttle()
    granted = sum(throttle.take(f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 100.0) == 0 for n in range(100_000))
    assert granted == spec.GLOBAL_BURST  # all together
    for n in range(5000):
        assert throttle.take(f"10.1.{n >> 8}.{n & 255}", 200.0 + n * spec.GLOBAL_PERIOD_S) == 0
        assert len(throttle._by_address) <= ADDRESSES_KEPT
    assert throttle.take("10.9.9.9", 1e6) == 0
    assert len(throttle._by_address) == 1  # the others are forgotten
    waits = [throttle.take("10.9.9.9", 1e6) for _ in range(10)]
    assert waits[:spec.ADDRESS_BURST - 1] == [0] * (spec.ADDRESS_BURST - 1)
    assert waits[-1] == pytest.approx(spec.ADDRESS_PERIOD_S)
    assert throttle.take("10.9.9.9", 1e6 - 1000) > 0  # a clock that ran back gives nothing
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::") != network("2001:db8:1:3::")
    assert network("::ffff:10.0.0.1") == "10.0.0.1"
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("?") == "?"


async def test_a_client_that_leaves_while_its_token_is_looked_at_leaves_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.worker.LATE_S", 60.0)
    set_passwords(tmp_path, Base=PASSWORDS["Base"])
    with rest(tmp_path) as (rig, client):
        token = client.token("Base", PASSWORDS["Base"])
        service = rig.server._service
        assert service is not None
        hold = threading.Event()
        service._login._files.submit(lambda: hold.wait(20))
        page = socketio.AsyncClient(reconnection=False)
        joining = asyncio.create_task(page.connect(rig.url, transports=["websocket"], auth={"token": token},
                                                   wait_timeout=0.5))
        with pytest.raises(socketio.exceptions.ConnectionError):
            await joining
        await page.disconnect()
        await asyncio.sleep(0.2)
        hold.set()
        await asyncio.sleep(0.5)
        assert (await asyncio.to_thread(rig.status))["hmi"]["clients"] == 0


def test_keys_differ_by_level_and_password() -> None:
    keys = {login_module._key(b"s" * 32, level, stored) for level in spec.LEVELS for stored in ("a", "b")}
    assert len(keys) == 6
    assert all(len(key) == 32 and not hmac.compare_digest(key, b"s" * 32) for key in keys)
    assert max(spec.LEVELS.values()) is hmi.Role.ADMINISTRATOR


def test_starting_loads_nothing_of_it() -> None:
    """What only logins and the REST interface need is imported when it is needed: the first answer must not wait."""
    code = ("import sys; from controller.hmi.server import _servers_only\n"
            "with _servers_only():\n    import controller.hmi.service\n"
            "print([name for name in ('argon2', 'jwt', 'controller.hmi.rest', 'controller.hmi.rest_messages', "
            "'controller.describe.schemas', 'requests', 'aiohttp.client', 'evdev', "
            "'dataclasses') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_client_finds_all_of_aiohttp_afterwards() -> None:
    """Whoever wants more of the package than the server does gets it, whole."""
    code = ("import sys; from controller.hmi.server import _servers_only\n"
            "with _servers_only():\n    import controller.hmi.service\n"
            "import aiohttp\n"
            "print(hasattr(aiohttp, 'no_such_name'), aiohttp.ClientSession.__name__, aiohttp.ClientTimeout.__name__, "
            "aiohttp.web is sys.modules['aiohttp.web'], aiohttp.__version__ == aiohttp.http.__version__)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "ClientSession", "ClientTimeout", "True", "True"]

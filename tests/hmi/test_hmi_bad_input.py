"""Malformed packets, hostile payloads, floods and clients that do not read: refused, counted, nothing
moves, nothing grows."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import logging
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import socketio

from controller.hmi import service
from controller.hmi.transport import PING_INTERVAL_S
from controller.spec import hmi
from controller.spec.modes import CommandKind, MasterState
from tests.hmi.rig import Rig, running

REST_S = hmi.REPLAY_WINDOW_S + 0.1
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running() as rig:
        yield rig


class Raw:
    """A WebSocket without a Socket.IO library: what is sent is what we say."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: list[str] = []

    async def read(self, until: str, seconds: float = 5.0) -> str:
        """The next text that begins so; ConnectionError when the server closed."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    raise ConnectionError(f"{message.type} {message.data} {message.extra}")
                self.texts.append(message.data)
                if message.data == "2":
                    await self.socket.send_str("3")
                elif message.data.startswith(until):
                    return str(message.data)

    async def answer(self, number: int, event: str, *args: Any) -> dict[str, Any]:
        await self.socket.send_str(f"42{number}" + json.dumps([event, *args]))
        text = await self.read(f"43{number}[")
        return json.loads(text.removeprefix(f"43{number}"))[0]  # type: ignore[no-any-return]

    async def closed(self, seconds: float = 5.0) -> str:
        """Waits for the end: kind, code and reason."""
        with pytest.raises(ConnectionError) as ended:
            await self.read("never", seconds)
        return str(ended.value)

    def notices(self) -> list[int]:
        """Numbers of the notices that came."""
        return [int(number) for number in re.findall(hmi.NOTICE_FIELD + r'":{"id":(\d+)', "".join(self.texts))]


@asynccontextmanager
async def raw(rig: Rig, *, join: bool = True, **options: Any) -> AsyncIterator[Raw]:
    async with aiohttp.ClientSession() as session, session.ws_connect(
            rig.url + WEBSOCKET, max_msg_size=0, **options) as socket:
        client = Raw(socket)
        await client.read("0")
        if join:
            await socket.send_str("40")
            await client.read("40")
        yield client


async def refusals(rig: Rig) -> dict[str, int]:
    return await asyncio.to_thread(rig.refused)


HOSTILE: list[Any] = [
    None, 1, -0.5, True, "stop", "", [], [[]], ["start", "stop"], [["stop"]], ["__proto__"], ["STOP"], [None], {},
    {"": 1},
    {"__proto__": {"10": 0}}, {"constructor": 1}, {"10": "NaN"}, {"10": 1e308}, {"10": -1}, {"10": 2.5}, {"10": None},
    {"10": {"10": 1}}, {"10": "1e1"}, {"10": 10}, {"10": 2}, {"10": 2, "11": 99}, {"10": 3, "11": 8}, {"1": 5},
    {"1": "x" * 4000}, {"1": "1.7.8", "10": 0}, {"4": 0, "50": "Infinity"}, {"4": 0, "50": 1e9}, {"4": 1, "50": 1},
    {"4": 0, "50": ""}, {"4": 0, "54": 1}, {"4": 0, "50": [1]}, {"60": 101}, {"60": -1}, {"60": "ten"}, {"70": True},
    {"80": 1e3}, {"85": None}, {"101": 1}, {"101": 5, "102": 5}, {"101": -999, "102": 5}, {"51": 1, "52": 1, "53": 1},
    {"51": 1, "52": 1, "53": 1, "54": 99999}, {"56": 0.5, "57": 1, "58": 1, "59": 1}, {"default_1": "x" * 25},
    {"default_1": "\u0000"}, {"default_1": 5}, {"default_7": "x"}, {"90": 61}, {"91": 201}, {"1a": 9}, {"1c": "loud"},
    {"1c": 3}, {"lockSpeed": "yes"}, {str(n): n for n in range(1000)},
    ["wearing_rom_position"], ["default7"], ["default1", "default2"], ["wearing_ROM_position", True], {"default1": 1},
    {"101": "", "102": ""}, {"101": None, "102": None}, {"101": "NaN", "102": "NaN"}, {"101": 1, "102": 1e300},
    {"101": {"__proto__": 1}, "102": 2}, {"101": [1], "102": [2]}, {"101": True, "102": 5}, {"101": "1e1", "102": 20},
    {"21": None, "22": 1, "23": 1, "24": 1}, {"21": "", "22": "", "23": "", "24": ""},
    {"26": "x", "27": 1, "28": 1, "29": 1}, {"31": 1.5, "32": 1, "33": 1, "34": 1},
    {"51": "NaN", "52": 1, "53": 1, "54": 1}, {"56": [], "57": {}, "58": 1, "59": 1},
    {"56": 1, "57": 1, "58": 1, "59": 1, "60": 1}, {"51": 1, "52": 1, "53": 1, "54": 1, "__proto__": 1},
    {"80": "", "lockJoySens": True}, {"80": 1, "lockJoySens": None}, {"60": 1, "lockSpeedAd": "true"},
    {"60": 1, "lockSpeed": True}, {"lockSpeedAd": 2}, {"lockJoySens": []}, {"default_2": ""}, {"default_2": " "},
    {"default_2": None}, {"default_2": ["x"]}, {"default_2": "a\nb"}, {"default_2": "x" * 4000}, {"90": None},
    {"91": "NaN"}, {"92": True}, {"93": ""}, {"1a": None, "1b": 50}, {"1b": "101"}, {"10": 2, "11": None},
    {"10": 2, "11": "1.5"}, {"10": 2, "11": -1}, {"10": 2, "11": {"a": {"b": {"c": [[[[]]]]}}}}, {"10": 5, "50": 1},
]
HOSTILE_COMMANDS: list[Any] = [
    None, 1, "stop", [], {}, {"type": None}, {"type": "fly"}, {"type": ["stop"]}, {"type": "jog"},
    {"type": "jog", "speed_percent": None}, {"type": "jog", "speed_percent": [1e300, 0, 0, 0]},
    {"type": "jog", "speed_percent": [101, 0, 0, 0]}, {"type": "jog", "speed_percent": [0] * 3},
    {"type": "jog", "speed_percent": ["0"] * 4}, {"type": "jog", "speed_percent": [0] * 9},
    {"type": "move", "position_deg": [0, 0, 0, 0], "speed_percent": 0}, {"type": "move", "position_deg": {"5": 1}},
    {"type": "move", "position_deg": {"0": 1}}, {"type": "move", "position_deg": [None] * 4},
    {"type": "move", "position_deg": [1e6, None, None, None]}, {"type": "mode", "mode": 2},
    {"type": "mode", "mode": "1"},
    {"type": "mode", "mode": 1, "extra": 1}, {"type": "subscribe", "event": "all", "rate_hz": 1},
    {"type": "subscribe", "event": "state", "rate_hz": 101}, {"type": "subscribe", "event": "state", "rate_hz": 0.01},
    {"type": "settings"}, {"type": "settings", "read": ["__class__"]}, {"type": "settings", "write": {}},
    {"type": "settings", "write": {"user_speed_percent.1": 1000}}, {"type": "settings", "write": {"nope": 1}},
    {"type": "settings", "read": [], "write": {"voice_1a": 50}}, {"type": "reset", "now": True},
    {"type": "go_to"}, {"type": "go_to", "position": None}, {"type": "go_to", "position": "default_7"},
    {"type": "go_to", "position": ["rest"]}, {"type": "go_to", "position": "rest", "speed_percent": "50"},
    {"type": "go_to", "position": "__proto__"}, {"type": "range_of_motion"}, {"type": "range_of_motion", "on": 1},
    {"type": "range_of_motion", "on": "true"}, {"type": "range_of_motion", "on": None}, {"type": "test_cycle"},
    {"type": "test_cycle", "cycle": "1"}, {"type": "test_cycle", "cycle": 2}, {"type": "test_cycle", "cycle": 1.5},
    {"type": "version", "version": 1.7}, {"type": "version", "version": "one"}, {"type": "why", "not": 1},
    {"type": "visit", "page": "x"}, {"type": "move", "position_deg": [1, 1, 1, 1], "wait_for_start": "yes"},
    {"type": "jog", "speed_percent": [1, 0, 0, 0], "sequence": "1"},
    {"type": "jog", "speed_percent": [1, 0, 0, 0], "sequence": -1},
    {"type": "jog", "speed_percent": [1, 0, 0, 0], "sent_ms": None, "age_ms": -5},
    {"type": "settings", "write": {"range_of_motion_on": True}},
    {"type": "settings", "write": {"range_minimum_deg.1": None, "range_maximum_deg.1": None}},
    {"type": "settings", "write": {"rest_position_counts.1": 5}},
    {"type": "settings", "write": {f"wearing_position_counts.{i}": "NaN" for i in range(1, 5)}},
    {"type": "settings", "write": {"__proto__": 1}}, {"type": "settings", "write": {"lock_speed": "yes"}},
    {"type": "compliant"}, {"type": "compliant", "on": 1}, {"type": "compliant", "on": "true"},
    {"type": "compliant", "on": True, "force": 1}, {"type": "settings", "write": {"compliant_dead_band.1": -1}},
    {"type": "settings", "write": {"compliant_exponential.1": 101}},
    {"type": "settings", "write": {"compliant_proportional.1": "NaN"}},
    {"type": "settings", "write": {"compliant_derivative.6": 1}},
]


async def test_hostile_payloads_are_refused_with_field_and_reason(rig: Rig) -> None:
    async with raw(rig) as client:
        await asyncio.sleep(REST_S)
        before = rig.state
        number = 0
        for event, payloads in (("response", HOSTILE), ("command", HOSTILE_COMMANDS)):
            for payload in payloads:
                number += 1
                await asyncio.sleep(0.012)  # below the rate limit
                answer = await client.answer(number, event, payload)
                assert answer["ok"] is False, payload
                assert set(answer["error"]) == {"code", "field", "message"}, payload
                assert answer["error"]["code"] in {"unknown", "value", "not_available"}, (payload, answer)
                assert 5 < len(answer["error"]["message"]) < 400, answer
        assert (await client.answer(900, "shutdown"))["error"]["code"] == "unknown"
        assert (await client.answer(901, "response"))["error"]["code"] == "unknown"
        assert (await client.answer(902, "command", *range(50)))["error"]["code"] == "value"
        refused = await refusals(rig)
        assert refused["unknown"] + refused["value"] + refused.get("not_available", 0) >= number + 3
        after = rig.state
        assert (after.state, after.motor_power, after.stops) == (MasterState.WAITING, 0, before.stops)
        assert not any(after.moving)
        assert (await client.answer(903, "response", ["stop"])) == {"ok": True}


MALFORMED: list[str | bytes] = [
    "", "9", "x", "4", "44", "4x", "45-[]", "451-[\"response\",{\"_placeholder\":true,\"num\":0}]", "43[]", "430[]",
    "42", "42{}", "42[]", "42[1", "42[NaN]", "42\"stop\"", "42null", "42/admin,[\"response\",[\"stop\"]]", "3x",
    "2", "1x",
    "42" + "9" * 200 + "[\"response\"]", "42" + "[" * 3000, "4[" * 10, "40{", "42[\"response\"," + "[" * 7000, b"\x00",
    b"",
    "42[\"response\",[\"\ud800\"]]".encode("utf-8", "surrogatepass"), "6data", "0{}",
    '42["command",{"type":"jog","speed_percent":[Infinity,0,0,0]}]', "bAAAA", "4\ufffd",
]


@pytest.mark.parametrize("packet", MALFORMED, ids=lambda packet: repr(packet[:12]))
async def test_malformed_packets_close_their_connection_only(rig: Rig, packet: str | bytes) -> None:
    async with raw(rig) as good, raw(rig) as bad:
        if isinstance(packet, bytes):
            await bad.socket.send_bytes(packet)
        else:
            await bad.socket.send_str(packet)
        assert "1008" in await bad.closed()
        assert bad.notices() == [hmi.Notice.MALFORMED]
        assert good.notices() == []
        assert (await good.answer(1, "response", ["stop"])) == {"ok": True}
    assert (await refusals(rig))["malformed"] >= 1
    status = await asyncio.to_thread(rig.status)
    assert status["hmi"].get("internal_errors", 0) == 0
    assert status["running"]


@pytest.mark.parametrize("event", ["connect", "disconnect", "connect_error", "", "a" * 900])
async def test_reserved_and_unknown_events_do_nothing(rig: Rig, event: str) -> None:
    async with raw(rig) as client:
        assert (await client.answer(1, event, "x", {}))["error"]["code"] == "unknown"
        assert (await client.answer(2, "response", ["stop"])) == {"ok": True}
        assert (await asyncio.to_thread(rig.status))["hmi"]["clients"] == 1


async def test_events_before_connect_are_not_heard(rig: Rig) -> None:
    async with raw(rig, join=False) as client:
        await client.socket.send_str('42["response",["stop"]]')
        await client.closed()
    assert rig.state.stops == 0


async def test_sixty_thousand_keys_and_huge_texts(rig: Rig) -> None:
    for payload in ({str(n): n for n in range(60_000)}, ["x" * 20_000], {"1": "9" * 100_000}):
        async with raw(rig) as client:
            await client.socket.send_str("42" + json.dumps(["response", payload]))
            ended = await client.closed()
            small = len(json.dumps(payload)) < 120_000  # up to there a notice can still be sent
            assert client.notices() == ([hmi.Notice.TOO_LARGE] if small else [])
            assert f"{1008 if small else 1009} a message has at most {hmi.MESSAGE_BYTES} bytes" in ended
    assert sum(count for kind, count in (await refusals(rig)).items() if kind in {"too_large", "malformed"}) >= 3


@pytest.mark.parametrize(("body", "status"), [
    ("x", 400), ("", 400), ("42[\"response\"]\x1ezz", 400), ("d=42[]", 400), ("4" * 20_000, 413), ("bAAAA", 400),
    (b"\xff\xfe", 400),
])
async def test_malformed_polling_bodies(rig: Rig, body: str | bytes, status: int) -> None:
    base = rig.url + "/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as session:
        opened = await (await session.get(base)).text()
        sid = json.loads(opened[1:])["sid"]
        answer = await session.post(f"{base}&sid={sid}", data=body)
        assert answer.status == status
        assert (await session.post(f"{base}&sid={sid}", data="40")).status == 200
    assert (await asyncio.to_thread(rig.status))["running"]


@pytest.mark.parametrize(("path", "status"), [
    ("/nowhere", 404), ("/socket.io", 404), ("/socket.io/?EIO=3&transport=polling", 400), ("/../etc/passwd", 404),
    ("/socket.io/?EIO=4&transport=carrier-pigeon", 400), ("/socket.io/?EIO=4&transport=polling&sid=nope", 400),
    ("/socket.io/?EIO=4&transport=polling&j=0", 400), ("/stop", 405), ("/status.json?x=%00", 200),
])
async def test_wrong_paths(rig: Rig, path: str, status: int) -> None:
    async with aiohttp.ClientSession() as session:
        assert (await session.get(rig.url + path)).status == status


async def test_a_flood_is_refused_then_cut_but_its_stop_counts(rig: Rig) -> None:
    async with raw(rig) as client, raw(rig) as other:
        for _ in range(hmi.MESSAGES_PER_S + 60):
            await client.socket.send_str('42["response",{"1":"1.7.8"}]')
        await client.socket.send_str('42["response",["stop"]]')
        await client.closed()
        assert rig.state.stops == 1
        assert (await refusals(rig))["rate"] >= 50
        assert any(f'"id":{hmi.Notice.RATE.value}' in text for text in client.texts)
        assert (await other.answer(1, "response", {"1": "1.7.8"})) == {"ok": True}


@pytest.mark.parametrize("message", ['["response",{"10":"6"}]', '["command",{"type":"mode","mode":6,"from":"panel"}]',
                                     '["command",{"type":"stop","why":"x"}]'])
async def test_every_form_of_stop_passes_the_rate_limit(rig: Rig, message: str) -> None:
    async with raw(rig) as client:
        for _ in range(hmi.MESSAGES_PER_S + 20):
            await client.socket.send_str('42["response",{"1":"1.7.8"}]')
        await client.socket.send_str("427" + message)
        assert await client.read("437") == '437[{"ok":true}]'
        await asyncio.to_thread(rig.until, lambda s: s.stops == 1)


async def test_stop_is_not_lost_when_the_command_ring_is_full() -> None:
    """The core's control thread does not run here, so the ring stays full and the stop word can be seen waiting."""
    from tests.hmi.stopped_rig import stopped

    with stopped() as rig:
        while rig.core.push(CommandKind.RESET):
            pass
        async with raw(rig) as client:  # type: ignore[arg-type]
            answer = await client.answer(1, "response", ["reset"])
            assert answer["error"]["code"] == "busy"
            assert (await client.answer(2, "response", ["stop"])) == {"ok": True}
        rig.cycle()
        assert rig.state().stops == 1


async def test_a_client_that_does_not_read_is_skipped_then_dropped() -> None:
    with running(rate_hz=100, stalled_s=1.5) as rig:
        host, port = rig.url.removeprefix("http://").split(":")
        hung = socket.socket()
        hung.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hung.connect((host, int(port)))
        hung.sendall((f"GET {WEBSOCKET} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        time.sleep(0.3)
        hung.sendall(frame(b"40"))  # and from here on it reads nothing
        async with raw(rig) as reader:
            started = time.monotonic()
            while (status := await asyncio.to_thread(rig.status))["hmi"].get("dropped", 0) == 0:
                assert time.monotonic() - started < 20, status["hmi"]
                await reader.read('42["data"')
                await asyncio.sleep(0)
            assert status["hmi"]["skipped"] > 10
            await reader.read('42["data"')
            until = time.monotonic() + 3
            while (await asyncio.to_thread(rig.status))["hmi"]["clients"] > 1:
                assert time.monotonic() < until
        hung.close()


@pytest.mark.parametrize("full", [False, True])
async def test_a_session_that_never_joins_is_cut(monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """Also where no descriptor is left, which is when it matters: it frees one."""
    def no_descriptor() -> tuple[str, str]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(service, "CONNECT_LIMIT_S", 1.5)
    if full:
        monkeypatch.setattr(service, "own_ipv4", no_descriptor)
    with running() as rig:
        async with raw(rig, join=False) as stranger:
            begun = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while True:
                    await stranger.read("2", 10.0)
                    await stranger.socket.send_str("3")     # it answers every ping
            assert 1.0 < time.monotonic() - begun < 10.0
        assert (await refusals(rig))["no_connect"] == 1


async def test_a_polling_client_that_stops_asking_is_dropped() -> None:
    with running(stalled_s=1.0) as rig:
        base = rig.url + "/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as session:
            sid = json.loads((await (await session.get(base)).text())[1:])["sid"]
            await session.post(f"{base}&sid={sid}", data="40")
            assert (await asyncio.to_thread(rig.status))["hmi"]["clients"] == 1
            until = time.monotonic() + 10
            while (status := await asyncio.to_thread(rig.status))["hmi"]["clients"]:
                assert time.monotonic() < until
                await asyncio.sleep(0.1)
            assert status["hmi"]["dropped"] == 1


async def test_saf_2_a_stop_is_heard_behind_hundreds_of_packets_in_one_polling_body(rig: Rig) -> None:
    base = rig.url + "/socket.io/?EIO=4&transport=polling"
    stops = rig.state.stops
    async with aiohttp.ClientSession() as session:
        sid = json.loads((await (await session.get(base)).text())[1:])["sid"]
        await session.post(f"{base}&sid={sid}", data="40")
        body = "\x1e".join(['42["command",{"type":"why"}]'] * 300 + ['42["response",["stop"]]'])
        assert (await session.post(f"{base}&sid={sid}", data=body)).status == 200
        await asyncio.to_thread(rig.until, lambda s: s.stops > stops)


async def test_no_frame_comes_before_an_upgrade_is_complete() -> None:
    with running(rate_hz=50) as rig:
        base = rig.url + "/socket.io/?EIO=4&transport=polling"
        async with aiohttp.ClientSession() as session:
            sid = json.loads((await (await session.get(base)).text())[1:])["sid"]
            await session.post(f"{base}&sid={sid}", data="40")
            assert "40{" in await (await session.get(f"{base}&sid={sid}")).text()
            async with session.ws_connect(f"{rig.url}{WEBSOCKET}&sid={sid}") as socket:
                await socket.send_str("2probe")
                assert (await socket.receive()).data == "3probe"
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(socket.receive(), 0.4)
            # A broken upgrade ends that session only; a complete one gets frames at once.
            sid = json.loads((await (await session.get(base)).text())[1:])["sid"]
            await session.post(f"{base}&sid={sid}", data="40")
            async with session.ws_connect(f"{rig.url}{WEBSOCKET}&sid={sid}") as socket:
                await socket.send_str("2probe")
                assert (await socket.receive()).data == "3probe"
                await socket.send_str("5")
                texts = [(await socket.receive()).data for _ in range(6)]
                assert sum(text.startswith('42["data"') for text in texts) >= 3


async def test_memory_does_not_grow_under_bad_input(rig: Rig) -> None:
    async def abuse(times: int) -> None:
        for i in range(times):
            async with raw(rig) as client:
                await client.socket.send_str("42" + json.dumps(["response", {f"k{i}-{n}": n for n in range(30)}]))
                await client.socket.send_str("42" + json.dumps([f"event{i}", "x" * 3000]))
                await client.socket.send_str("42" + "[" * 2000)
                await client.closed()

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    await abuse(30)
    await asyncio.sleep(PING_INTERVAL_S + 0.5)  # longer than anything of a gone client waits
    before = objects()
    await abuse(150)
    await asyncio.sleep(PING_INTERVAL_S + 0.5)
    assert objects() - before < 300  # two per connection would show


async def test_the_log_is_not_flooded(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(25):
        async with raw(rig) as client:
            await client.socket.send_str("nonsense")
            await client.closed()
    assert (await refusals(rig))["malformed"] >= 25
    assert len([record for record in caplog.records if record.name.startswith("controller.hmi")]) <= 10


@pytest.mark.parametrize(("headers", "status"), [
    ({}, 200), ({"Origin": "http://localhost:3000"}, 200), ({"Origin": "http://127.0.0.1:8080"}, 200),
    ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "file://"}, 403),
    ({"Host": "evil.example:3001"}, 403), ({"Host": "evil.example:3001", "Origin": "http://evil.example:3001"}, 403),
])
async def test_origins(rig: Rig, headers: dict[str, str], status: int) -> None:
    async with aiohttp.ClientSession() as session:
        for method, path in (("GET", "/"), ("GET", "/status.json"), ("POST", "/stop"),
                             ("GET", "/socket.io/?EIO=4&transport=polling")):
            assert (await session.request(method, rig.url + path, headers=headers)).status == status
        if status == 200:
            async with session.ws_connect(rig.url + WEBSOCKET, headers=headers) as socket:
                assert (await socket.receive()).data.startswith("0{")
        else:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(rig.url + WEBSOCKET, headers=headers)


async def test_no_compression_is_negotiated(rig: Rig) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(rig.url + WEBSOCKET, compress=15) as socket:
        assert socket.compress == 0


async def test_token() -> None:
    token = "a-token-of-enough-length"
    with running(token=token) as rig:
        client = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(rig.url, transports=["websocket"], auth={"token": "wrong"})
        for options in ({"auth": {"token": token}}, {"headers": {"Authorization": f"Bearer {token}"}}):
            client = socketio.AsyncClient(reconnection=False)
            await client.connect(rig.url, transports=["websocket"], **options)
            assert await client.call("response", ["stop"]) == {"ok": True}
            await client.disconnect()
        assert (await asyncio.to_thread(rig.get, "/status.json"))[0] == 401
        assert (await asyncio.to_thread(rig.get, "/stop", "POST"))[0] == 401
        code, status = await asyncio.to_thread(rig.get, "/status.json", Authorization=f"Bearer {token}")
        assert code == 200
        assert status["hmi"]["refused"]["token"] >= 3


def frame(payload: bytes) -> bytes:
    """A masked client frame."""
    return struct.pack("!BB4s", 0x81, 0x80 | len(payload), b"\0\0\0\0") + payload

"""What runs inside the HMI thread: receives packets, calls the handlers, answers, and goes its round.

Thread contract: everything here runs in the HMI thread, except `quit` and `arm_changed`, which only post to its loop,
and `link`, a frozen value that the main thread replaces whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from controller import __version__
from controller.arm import ArmFacts
from controller.bus.board_registers import BoardWrites
from controller.history import History
from controller.hmi.access import Access
from controller.hmi.answers import Answer, Answers, Reply
from controller.hmi.board_update import BoardUpdate
from controller.hmi.board_update_door import BoardUpdateDoor
from controller.hmi.broadcast import Broadcast, own_ipv4
from controller.hmi.clients import FLOOD_GRACE_S, Client, ControlToken, Refused
from controller.hmi.counters import Counters, HttpLog, logger
from controller.hmi.doorway import HEADER_LIMIT_S, Doorway
from controller.hmi.faultlist import FaultList
from controller.hmi.forms import is_stop
from controller.hmi.handlers import Handlers
from controller.hmi.login import Login
from controller.hmi.options import HmiOptions
from controller.hmi.outcome import Outcome
from controller.hmi.own_faults import OwnFaults, keep
from controller.hmi.payload import DataMessage
from controller.hmi.positions import saved_deg
from controller.hmi.refusal import Refusal
from controller.hmi.rest_door import AFTER_START_S, RestDoor
from controller.hmi.results import Results
from controller.hmi.state import Holder, StateBuilder
from controller.hmi.transport import BROKEN_REQUEST, TOO_LARGE, SocketServer
from controller.hmi.web import Pages
from controller.link import LinkReport
from controller.spec import hmi
from controller.spec.history import Kind
from controller.spec.hmi import Notice
from controller.store import Store
from controller.update.announced import UpdateState, Watch

if TYPE_CHECKING:
    from controller._core import Core, State
    from controller.exercises import Exercises
    from controller.hmi.device_clients import DeviceClients

ROUND_S = 0.1  # longest time between two rounds
SHORTEST_ROUND_S = 0.002
SEQUENCE_ROUND_S = 0.02  # while a sequence waits for its next step
LOOK_AFTER = 0.9  # of the longest time between two rounds: most clients are sent to more often than is worth a look
STALE_S = 0.5
COLLECT_CLIENTS = 10
SLOW_ROUND_S = 1.0
CONNECT_LIMIT_S = 10.0
STRANGER_PACKETS = 20
STRANGERS_LIMIT = 100
LINGERING_S = 2.0  # for the rest of a body that was refused
BACKLOG = 128

T = TypeVar("T")
log = logger("controller.hmi")


class Service:
    """The whole server on one event loop."""

    def __init__(self, core: Core, options: HmiOptions, store: Store, facts: ArmFacts, *, history: History,
                 loop: asyncio.AbstractEventLoop, board_writes: BoardWrites) -> None:
        self._core, self._options, self._store, self._loop = core, options, store, loop
        self._history = history
        self._counters = Counters()
        self._faults = FaultList(options.language, partial(keep, history))
        self._results = Results()
        self._reader = core.reader()
        self._state: State | None = None
        self._advanced_s = -STALE_S
        self._clients: dict[str, Client] = {}
        self._by_key: dict[str, Client] = {}
        self._strangers: dict[str, tuple[float, int]] = {}
        self._last_number = 0
        self.link = LinkReport()
        self._ended = asyncio.Event()
        self.last_round_s = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._next_look_s = 0.0
        self._next_slow_s = 0.0
        self._next_statistics_s = 0.0
        self._device_stop_s = -SLOW_ROUND_S
        self._left = 0  # clients since garbage was last collected
        access = Access(options)
        folder = store.path.parent if store.path is not None else None
        self._login = Login(access, folder, self._counters)
        self._server = SocketServer(self, access, self._counters)
        self._control = ControlToken(self._control_lost, history.note)
        self._broadcast = Broadcast(
            self._server, self._counters, options.stalled_s,
            data=lambda: self._payload.text(self._state),
            state=lambda: b'42["state",' + msgspec.json.encode(self.state_message()) + b"]",
            notice=self._notice_message)
        self._answers = Answers(loop, self._results, self._counters, self._broadcast, self._read_core)
        self._handlers = Handlers(core, store, self._control, self._counters,
                                  latest=self._latest, changed=self._settings_changed, follow=self._answers.follow,
                                  ended=self._sequence_ended, note=history.note,
                                  board_writes=board_writes, library=self._ask_store,
                                  devices=lambda: self._devices.count if self._devices else 0)
        self._devices = self._make_devices(options)
        self._update = Watch(__version__, options.update_status)
        self._own_faults = OwnFaults(self._faults, store, history, self._handlers.in_force, host=options.host)
        self._payload = DataMessage(store, self._faults, self._counters)
        self._builder = StateBuilder(self._faults, self._counters)
        self._asking: set[asyncio.Task[None]] = set()
        self._rest = RestDoor(self._login, self._counters, folder, saved_deg=self._saved_deg, note=history.note,
                              time_of=self._handlers.player.time_of, scenario_changed=self._scenario_changed)
        self._pages = Pages(access, self._login, self._counters, state=self.state_message, running=self._running,
                            stop=self._stop, history=history)
        self._board_update = BoardUpdate(
            core, board_writes, self._answers.follow, history.note, latest=self._latest, facts=lambda: self.facts,
            holder=lambda: self._control.holder.name if self._control.holder else "")
        self._board_update_door = BoardUpdateDoor(self._login, self._counters, options, self._board_update)
        self._set_facts(facts)

    # -- from the main thread

    def quit(self) -> None:
        """End `serve`."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._ended.set)

    def arm_changed(self, facts: ArmFacts) -> None:
        """A bring-up is done: conversions are others, and the control loop needs the stored limits."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._set_facts, facts)

    # -- life

    async def serve(self, listener: socket.socket, opened: Callable[[], None]) -> None:
        """Serve on `listener` until `quit`."""
        self._loop.set_exception_handler(lambda loop, context: log.error(
            "unexpected: %s", context.get("message"), exc_info=context.get("exception")))
        doorway = Doorway(self._counters)
        app = web.Application(middlewares=[doorway.watch, self._pages.guard], logger=log)
        self._server.attach(app, socketio_path=hmi.PATH)
        self._pages.add_to(app)
        self._rest.add_to(app)
        self._board_update_door.add_to(app)
        self._board_update_door.port = listener.getsockname()[1]
        http_log = HttpLog(self._counters, BROKEN_REQUEST)
        runner = web.AppRunner(app, access_log=None, logger=http_log, shutdown_timeout=0.2, handle_signals=False,
                               keepalive_timeout=HEADER_LIMIT_S, lingering_time=LINGERING_S)
        await runner.setup()
        doorway.server = runner.server
        accepting: asyncio.Server | None = None
        try:
            accepting = await self._loop.create_server(doorway.enter, sock=listener, backlog=BACKLOG)
            self._round()
            opened()
            self._loop.call_later(AFTER_START_S, self._rest.load)
            if self._devices is not None:
                self._loop.call_later(AFTER_START_S, self._devices.start)
            await self._ended.wait()
        finally:
            if self._devices is not None:
                self._devices.close()
            if accepting is not None:
                accepting.close()
            for key in list(self._server.eio.sockets):
                self._server.cut(key)
            await self._server.shutdown()
            await runner.cleanup()
            self._login.close()
            self._handlers.calibrator.close()
            self._rest.close()

    def _round(self) -> None:
        """One round: read the core, look after clients, send what is due, plan the next."""
        if self._ended.is_set():
            return
        try:
            self._do_round(time.monotonic())
        except Exception:
            self._counters.add("internal_errors")
            log.exception("fault in the HMI's round")
        now_s = time.monotonic()
        longest_s = SEQUENCE_ROUND_S if self._handlers.sequencer.moving else ROUND_S
        wait_s = max(self._broadcast.next_due_s(now_s + longest_s) - now_s, SHORTEST_ROUND_S)
        self._timer = self._loop.call_later(wait_s, self._round)

    def _regroup(self, now_s: float) -> None:
        """The clients or their rates changed: the next round may be due sooner."""
        self._broadcast.regroup(self._clients.values(), now_s)
        if self._timer is not None and not self._ended.is_set():
            self._timer.cancel()
            self._timer = self._loop.call_later(0.0, self._round)

    def _do_round(self, now_s: float) -> None:
        self.last_round_s = now_s
        self._core.beat()
        if self._read_core(now_s) or now_s >= self._next_look_s or self._devices is not None:
            self._look_after(now_s)
        self._broadcast.send_due(now_s)
        if now_s >= self._next_slow_s:
            self._next_slow_s = now_s + SLOW_ROUND_S
            self._slow_round(now_s)

    def _look_after(self, now_s: float) -> None:
        """What waits for the loop, for time to pass or for a client; when the loop has something new, else ten times a
        second, not with every message that is sent."""
        self._results.tick(now_s)
        self._handlers.tick(now_s)
        self._board_update.tick(now_s)
        if self._devices is not None:
            self._devices.round(now_s)
        self._control.tick(now_s, self._handlers.busy)
        for client in list(self._clients.values()):
            if client.flooding_since_s is not None and now_s - client.flooding_since_s > FLOOD_GRACE_S:
                self._counters.add("dropped")
                self._server.cut(client.key)
        self._server.tend(now_s)
        self._next_look_s = now_s + LOOK_AFTER * (SEQUENCE_ROUND_S if self._handlers.sequencer.moving else ROUND_S)

    def _slow_round(self, now_s: float) -> None:
        self._cut_strangers(now_s)  # first: where descriptors are used up, what follows fails, and this frees some
        self._store.tick(now_s)
        self._rest.tick(now_s)
        self._login.tick(now_s)
        if self._update.tick():
            self._tell_update(self._update.state)
        self._payload.address, address_fault = own_ipv4()
        limits = self._state.speed_limit_deg_s[:self.facts.axes] if self._state is not None else ()
        self._own_faults.watch(address_fault, limits)
        if self._left >= COLLECT_CLIENTS:
            # A connection that was cut leaves cycles of tasks and frames, 18 kB of them, which Python would let pile up
            # to hundreds of connections; without what was frozen after the start this takes some milliseconds.
            self._left = 0
            gc.collect()

    def _tell_update(self, told: UpdateState) -> None:
        """Another phase of an update: a notice to everyone; a file that says nothing sensible is only counted."""
        if told.problem:
            self._counters.add("update_status_unreadable")
            log.warning("what the update says cannot be read: %s", told.problem)
        elif told.text:
            self.tell_all(Refused(Notice.UPDATE, "", told.text))

    def _cut_strangers(self, now_s: float) -> None:
        """Sessions that never became a client."""
        open_ = {key: session for key, session in self._server.eio.sockets.items()  # the library lists ended ones too
                 if not (session.closed or session.closing)}
        self._strangers = {key: seen for key, seen in self._strangers.items() if key in open_}
        for key in open_:
            if key not in self._by_key:
                self._strangers.setdefault(key, (now_s, 0))
        for number, (key, (since, _)) in enumerate(reversed(list(self._strangers.items()))):  # the newest first
            if now_s - since > CONNECT_LIMIT_S or number >= STRANGERS_LIMIT:
                self._counters.refuse("no_connect")
                self._server.cut(key)

    def _read_core(self, now_s: float) -> bool:
        """Every record since the last time that tells something new: results and drive codes may show in one only.
        Whether there was one."""
        news, newest = self._reader.changes()
        for state in news:
            self._faults.follow(state)
            self._results.follow(state)
        if newest is not None:
            self._state, self._advanced_s = newest, now_s
        return bool(news)

    # -- what others ask

    def _latest(self) -> State | None:
        """The newest record, None when the loop has not advanced lately."""
        self._read_core(time.monotonic())
        return self._state if self._running() else None

    def _running(self) -> bool:
        now_s = time.monotonic()
        self._read_core(now_s)
        return now_s - self._advanced_s < STALE_S

    def state_message(self) -> Any:
        """The `state` message of this moment."""
        running = self._running()  # reads the newest record
        now_s = time.monotonic()
        if now_s >= self._next_statistics_s:  # made for those who ask, and not anew for each of them
            self._next_statistics_s = now_s + SLOW_ROUND_S
            self._builder.statistics = self._core.statistics()
            self._builder.realtime = self._core.realtime()
        holder = self._control.holder
        history = self._history
        counts = {"clients": len(self._clients), "records_lost": self._reader.lost,
                  "history_written": history.written, "history_dropped": history.dropped, **self._counters.as_dict()}
        return self._builder.build(
            self._state, running=running, counts=counts, link=self.link,
            store_problem="; ".join(filter(None, (self._store.trouble, self._rest.problem, history.trouble))),
            blockers=[found.message for found in self._handlers.gate.general()],
            sequence=self._handlers.progress, board_update=self._board_update.state,
            holder=Holder(holder.number if holder else None, holder.name if holder else ""),
            devices=self._devices.message() if self._devices else None, update=self._update.state)

    def _saved_deg(self, name: str) -> list[float]:
        """A saved position, "rest" or "wearing", in degrees, one per axis of the arm."""
        try:
            return [round(found, 2) for found in saved_deg(self._store, self.facts, name)]
        except Refused as refused:
            raise Refusal(404, refused.message) from None

    def _notice_message(self, notice: dict[str, object]) -> bytes:
        return self._payload.text(self._state, notice)

    @property
    def facts(self) -> ArmFacts:
        return self._handlers.facts

    def _set_facts(self, facts: ArmFacts) -> None:
        self._payload.facts = self._builder.facts = facts
        self._payload.settings_changed()
        self._handlers.set_facts(facts)
        self._board_update.arm_is_back(facts)

    def _settings_changed(self) -> None:
        self._payload.settings_changed()

    def _ask_store(self, work: Callable[[Exercises], Future[T]]) -> Future[T]:
        """The exercises' store, once it is loaded; the future is done in this thread."""
        future: Future[T] = Future()

        async def ask() -> None:
            try:
                rest = await asyncio.shield(self._rest.load())
                future.set_result(await asyncio.wrap_future(work(rest.exercises)))
            except Exception as error:
                future.set_exception(error)

        task = self._loop.create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return future

    def _sequence_ended(self, client: Client, why: str) -> None:
        log.info("%s of %s", why, client.name)
        client.notices.append(Refused(Notice.ENDED, "", why).as_notice())

    def _control_lost(self, client: Client) -> None:
        self._handlers.end_motion(client)

    # -- input devices

    def _make_devices(self, options: HmiOptions) -> DeviceClients | None:
        if options.input is None:
            return None
        from controller.hmi.device_clients import DeviceClients

        return DeviceClients(options.input, self, self._loop, handlers=self._handlers, answers=self._answers,
                             control=self._control, counters=self._counters, store=self._store, latest=self._latest)

    def _scenario_changed(self, exercises: Exercises) -> None:
        if self._devices is not None:
            self._devices.scenario_changed(exercises)

    def device_joined(self, name: str) -> Client:
        """An input device is a client without a connection."""
        self._last_number += 1
        number = self._last_number
        client = Client(number, f"device {number}", f"device {number}", name, time.monotonic(), device=True)
        self._history.client(number, client.name)
        self._history.note(Kind.CLIENT, "connected", who=client.name)
        return client

    def device_left(self, client: Client) -> None:
        """Whatever it moved ends."""
        self._results.forget(client)
        self._control.release(client)
        self._history.note(Kind.CLIENT, "left", who=client.name)

    def stop_by(self, client: Client) -> None:
        """A stop by a device's button. Each one acts; a button that chatters does not fill the history."""
        now_s = time.monotonic()
        if now_s - self._device_stop_s < SLOW_ROUND_S:
            self._handlers.stop()
        else:
            self._stop(client.name)
        self._device_stop_s = now_s

    def tell_all(self, notice: Refused) -> None:
        """A notice to every client."""
        log.info("%s", notice.message)
        for client in self._clients.values():
            client.notices.append(notice.as_notice())
            self._broadcast.send_notice(client, time.monotonic())

    # -- transport.Receiver

    def packet_came(self, key: str, size: int) -> None:
        """Every packet, before anything looks into it."""
        now_s = time.monotonic()
        client = self._by_key.get(key)
        if client is None:
            since, count = self._strangers.get(key, (now_s, 0))
            self._strangers[key] = (since, count + 1)
            if count >= STRANGER_PACKETS:
                self._counters.refuse("no_connect")
                self._server.cut(key)
            return
        if size > hmi.MESSAGE_BYTES:
            self._answers.refuse(
                client, Refused(Notice.TOO_LARGE, "", f"{TOO_LARGE}; this client is disconnected"), Reply())
        elif not client.within_rate(now_s) and client.flooding_since_s == now_s:
            self._answers.refuse(client, Refused(
                Notice.RATE, "", f"more than {hmi.MESSAGES_PER_S} messages per second: this client is disconnected; "
                "only stop is still taken"), Reply())

    def malformed(self, key: str, why: str) -> None:
        """A packet that is none; its connection ends, and where it still takes a message it is told why."""
        log.warning("malformed packet refused: %s", why[:200])
        refused = Refused(Notice.MALFORMED, "", f"{why[:200]}; this client is disconnected")
        if (client := self._by_key.get(key)) is not None:
            self._answers.refuse(client, refused, Reply())
        else:
            self._counters.refuse(refused.notice.name.lower())

    async def connected(self, key: str, sid: str, request: web.Request, auth: object) -> str:
        """A client joins the namespace; the text says why not."""
        try:
            role = await self._login.role(request.headers, auth)
        except Refusal as refused:
            self._counters.refuse("token")
            self._loop.call_later(0.5, self._server.cut, key)
            return refused.message
        session = self._server.eio.sockets.get(key)
        if session is None or session.closed:  # it left while its token was looked at
            return "the connection has ended"
        if len(self._clients) >= self._options.max_clients:
            self._counters.refuse("clients")
            self._loop.call_later(0.5, self._server.cut, key)
            return f"already {self._options.max_clients} clients are connected"
        now_s = time.monotonic()
        self._last_number += 1
        client = Client(self._last_number, key, sid, request.remote or "?", now_s, role, data_hz=self._options.rate_hz,
                        allowance_s=now_s)
        self._clients[sid] = self._by_key[key] = client
        self._regroup(now_s)
        self._strangers.pop(key, None)
        self._counters.add("connections")
        self._history.client(client.number, client.name)
        self._history.note(Kind.CLIENT, "connected", who=client.name)
        return ""

    def disconnected(self, sid: str) -> None:
        """A client is gone: whatever it moved ends."""
        client = self._clients.pop(sid, None)
        if client is None:
            return
        self._by_key.pop(client.key, None)
        self._regroup(time.monotonic())
        self._left += 1
        client.gone = True
        self._results.forget(client)
        self._control.release(client)
        self._history.note(Kind.CLIENT, "left", who=client.name)

    def event(self, key: str, sid: str, name: object, args: list[object], answer: Answer | None) -> None:
        """One event of a client. Never raises; a stop is acted on before anything else."""
        client = self._clients.get(sid)
        if client is None:
            return
        self._counters.add("messages")
        reply = Reply(answer, visible=answer is None or name != hmi.COMMAND)
        message = args[0] if args else None
        now_s = time.monotonic()
        if is_stop(name, message):
            self._stop(client.name)
            self._control.used(client, now_s)
            reply.give({"ok": True})
            return
        if client.flooding_since_s is not None:
            self._counters.refuse(Notice.RATE.name.lower())
            return
        rates_hz = (client.data_hz, client.state_hz)
        try:
            self._answers.finish(client, self._dispatch(client, name, message, now_s), reply)
            if rates_hz != (client.data_hz, client.state_hz):
                self._regroup(now_s)
        except Refused as refused:
            self._answers.refuse(client, refused, reply)
        except Exception:
            self._counters.add("internal_errors")
            log.exception("fault while handling a message")
            self._answers.refuse(client, Refused(Notice.INTERNAL, "", Notice.INTERNAL.doc), reply)

    def _dispatch(self, client: Client, name: object, message: object, now_s: float) -> Outcome:
        if name == hmi.RESPONSE:
            return self._handlers.response(client, message, now_s)
        if name == hmi.COMMAND:
            return self._handlers.command(client, message, now_s)
        raise Refused(Notice.UNKNOWN, "", f"no such event; clients send `{hmi.RESPONSE}` or `{hmi.COMMAND}`")

    def _stop(self, who: str) -> None:
        self._handlers.stop()
        self._history.note(Kind.STOP, "stop asked for", who=who)

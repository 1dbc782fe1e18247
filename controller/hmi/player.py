"""Plays stored exercises: what a client asks for is loaded, checked, timed, begun, paused, resumed, and reported.

The steps are the sequencer's, each an ordinary MOVE. Nothing is begun later than a second after it was asked for,
after a
stop or another command that came meanwhile, or for a client that has gone: disks may be slow, arms must not surprise.
Thread contract: HMI thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from controller.arm import ArmFacts
from controller.exercise_reports import MOVES_AT_ONCE, Beginning, ReportInterruption, ReportMove, ReportReached
from controller.exercises import Exercise, Exercises, NotAllowed, NotStored
from controller.history_words import Note
from controller.hmi import messages, played
from controller.hmi.clients import Client, Refused
from controller.hmi.counters import logger
from controller.hmi.gate import Gate
from controller.hmi.played import Pieces, Times
from controller.hmi.sequence import DONE, Place, Plan, Sequencer
from controller.kept import StoreError
from controller.spec.history import Kind
from controller.spec.hmi import ACTION, Action, Notice
from controller.worker import Busy

if TYPE_CHECKING:
    from controller._core import Core, Meter, State

T = TypeVar("T")
U = TypeVar("U")
LATE_S = 1.0    # as old as a motion command may be when the loop takes it
DISK_S = 5.0
Wanted = tuple[str, str, list[tuple[Exercise, int | None]]]     # kind, name, exercises with other repetitions
log = logger("controller.hmi.player")


class Library(Protocol):
    """Ask the exercises' store for something; the future is done in the HMI thread."""

    def __call__(self, work: Callable[[Exercises], Future[T]]) -> Future[T]: ...


def no_library(work: Callable[[Exercises], Future[T]]) -> Future[T]:
    """A Library for where no exercises are kept."""
    future: Future[T] = Future()
    future.set_exception(StoreError("no exercises are kept here"))
    return future


class Asked(msgspec.Struct, eq=False):
    """A request that waits for the disk, and what held when it came."""

    client: Client
    since_s: float
    ends: int
    stops: int
    answer: Future[dict[str, object]] = msgspec.field(default_factory=Future)


class Player:
    """`begin` passes a motion command through the gate, `check` raises ValueError where a target of an axis is not
    allowed, `facts` is the arm."""

    def __init__(self, core: Core, sequencer: Sequencer, gate: Gate, library: Library, *,
                 latest: Callable[[], State | None], facts: Callable[[], ArmFacts], check: Callable[[int, float], None],
                 begin: Callable[[Client, str, float], None], note: Note, clock: Callable[[], float]) -> None:
        self._core, self._sequencer, self._gate, self._library = core, sequencer, gate, library
        self._latest, self._facts, self._check, self._gate_of_motion = latest, facts, check, begin
        self._note, self._clock = note, clock
        self._asked: list[Asked] = []
        self._meter: Meter | None = None

    @property
    def waiting(self) -> bool:
        """Whether something that was asked for waits for the disk."""
        return bool(self._asked)

    def tick(self, now_s: float) -> None:
        """Answer what the disk does not answer."""
        for asked in [found for found in self._asked if now_s - found.since_s >= DISK_S]:
            self.answer(asked, Refused(Notice.BLOCKED, "", "the disk does not answer: nothing was begun; see "
                                                           "store_problem "
                                       "of the status"))

    # -- what clients ask

    def play(self, client: Client, command: messages.Play, now_s: float) -> tuple[Future[dict[str, object]]]:
        """Begin an exercise or a scenario, once it is loaded and every position is checked."""
        self.refuse(client, ACTION["play"], now_s)

        def loaded(asked: Asked, found: Wanted) -> None:
            state = self.still_wanted(asked)
            kind, name, exercises = found
            steps, times = self._plan(exercises, state)
            self.begin(client, "play")
            plan = PlayedPlan(kind, name, steps, times, core=self._core, meter=self._meter_made(), axes=state.axes,
                              report=Report(self._library, Beginning(kind, name, client.name, time.time(), len(steps),
                                                                     round(times.total_s, 1))),
                              note=self._note, who=client.name, now_s=self._clock())
            begun = self._sequencer.start(client, plan, state, self._clock())
            begun.add_done_callback(lambda done: self.answer(
                asked, done.exception() or played.estimated(steps, times, state.axes)))

        return self.ask(client, self._wanted(command), loaded)

    def estimate(self, client: Client, command: messages.Estimate, now_s: float) -> tuple[Future[dict[str, object]]]:
        """How long it takes from where the arm stands now, and whether it could be played."""
        self.refuse(client, ACTION["estimate"], now_s)
        return self.ask(client, self._wanted(command), lambda asked, found: self.answer(
            asked, played.estimated(*self._timed(found[2]), self._facts().axes)))

    def time_of(self, exercises: Sequence[tuple[Exercise, int | None]]) -> tuple[float, int]:
        """(seconds, steps) of exercises from where the arm stands; Refused where they cannot be played."""
        steps, times = self._timed(exercises)
        return round(times.total_s, 1), len(steps)

    def _timed(self, exercises: Sequence[tuple[Exercise, int | None]]) -> tuple[Pieces, Times]:
        """Exercises from where the arm stands; Refused where they cannot be played."""
        state = self._latest()
        if state is None or not self._facts().axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected: where it stands, and how fast it may be, is "
                          "not known")
        return self._plan(exercises, state)

    def reports(self, client: Client, command: messages.Reports, now_s: float) -> tuple[Future[dict[str, object]]]:
        """The newest reports, or one with its moves."""
        self.refuse(client, ACTION["reports"], now_s)
        if command.id is None:
            return self.ask(client, self._library(lambda store: store.reports(command.limit, command.before)),
                            lambda asked, found: self.answer(asked, {"reports": msgspec.to_builtins(found)}))
        number = command.id
        return self.ask(client, self._library(lambda store: store.report(number, command.first_step, MOVES_AT_ONCE)),
                        lambda asked, found: self.answer(asked, {"report": msgspec.to_builtins(found)}))

    # -- loading

    def _wanted(self, command: messages.Play | messages.Estimate) -> Future[Wanted]:
        """What a command names: an exercise, a scenario, or the scenario chosen last."""
        if command.exercise is not None and command.scenario is not None:
            raise Refused(Notice.VALUE, "scenario", "allowed is one of exercise and scenario; without both the "
                          "scenario chosen last is meant")
        if command.exercise is not None:
            name = command.exercise.strip()
            return chain(self._library(lambda store: store.exercise(name)),
                         lambda found: done(("exercise", found.name, [(found, command.repeat)])))
        if command.repeat is not None:
            raise Refused(Notice.VALUE, "repeat", "allowed only with exercise; a scenario has its own repetitions")
        return self.scenario(command.scenario.strip() if command.scenario is not None else None)

    def scenario(self, name: str | None) -> Future[Wanted]:
        """The exercises of a scenario, of the one chosen last where `name` is None."""
        def read(found: tuple[str, str]) -> Future[Wanted]:
            chosen, content = found
            elements = played.named(content, chosen)
            names = [element.exercise for element in elements]
            return chain(self._library(lambda store: store.several(names)), lambda exercises: done((
                "scenario", chosen, [(one, element.rep) for one, element in zip(exercises, elements, strict=True)])))

        return chain(self._library(lambda store: store.scenario_to_play(name)), read)

    # -- what waits for a disk

    @property
    def now_s(self) -> float:
        """The clock of the HMI."""
        return self._clock()

    def refuse(self, client: Client, action: Action, now_s: float) -> None:
        """Refused with all that stands against an action; nobody takes control yet."""
        self._gate.refuse(client, action, now_s)

    def begin(self, client: Client, action: str) -> None:
        """The gate of a motion: takes control, ends what ran before."""
        self._gate_of_motion(client, action, self._clock())

    def in_hmi_thread(self, work: Callable[[], Future[T]]) -> Future[T]:
        """What `work` begins, done in the HMI thread."""
        return self._library(lambda _: work())

    def ask(self, client: Client, loading: Future[U], loaded: Callable[[Asked, U], None],
            unwanted: Callable[[U], None] = lambda _: None) -> tuple[Future[dict[str, object]]]:
        """What a handler returns: `loaded` is called with what was loaded and has to `answer`, or raises; `unwanted`
        where it came too late."""
        state = self._latest()
        asked = Asked(client, self._clock(), self._sequencer.ends, state.stops if state is not None else 0)
        self._asked.append(asked)

        def came(answer: Future[U]) -> None:
            if asked.answer.done():
                if answer.exception() is None:
                    unwanted(answer.result())
                return
            try:
                loaded(asked, answer.result())
            except Exception as error:
                self.answer(asked, error)

        loading.add_done_callback(came)
        return (asked.answer,)

    def answer(self, asked: Asked, result: dict[str, object] | BaseException) -> None:
        """Answer it, once: its fields, or why not."""
        if asked in self._asked:
            self._asked.remove(asked)
        if asked.answer.done():
            return
        if isinstance(result, dict):
            asked.answer.set_result(result)
        else:
            asked.answer.set_exception(refusal(result))

    def still_wanted(self, asked: Asked, late_s: float = LATE_S) -> State:
        """Refused when what held when it was asked for does not hold any more, or it was longer than `late_s` ago."""
        state = self._latest()
        if asked.client.gone:
            raise Refused(Notice.ENDED, "", "its client has gone")
        if self._clock() - asked.since_s > late_s:
            raise Refused(Notice.BLOCKED, "", f"the disk took longer than {late_s:g} s: nothing was begun; ask again")
        if state is None:
            raise Refused(Notice.NO_LOOP, "", Notice.NO_LOOP.doc)
        if asked.ends != self._sequencer.ends or asked.stops != state.stops:
            raise Refused(Notice.ENDED, "", "a stop or another command came meanwhile: nothing was begun")
        return state

    def _plan(self, exercises: Sequence[tuple[Exercise, int | None]], state: State) -> tuple[Pieces, Times]:
        axes = self._facts().axes
        if not axes:
            raise Refused(Notice.BLOCKED, "", "the arm is not connected")
        steps = played.pieces(exercises, axes, self._check)
        return steps, Times(self._core, steps, state.position_deg, state.speed_limit_deg_s)

    def _meter_made(self) -> Meter:
        if self._meter is None:
            self._meter = self._core.meter()
        return self._meter


class PlayedPlan(Plan):
    """Steps of exercises that are timed, and of which each position that was reached goes into a report."""

    def __init__(self, kind: str, name: str, steps: Pieces, times: Times, *, core: Core, meter: Meter, axes: int,
                 report: Report, note: Note, who: str, now_s: float) -> None:
        super().__init__(name, steps)
        self.kind = kind
        self._pieces, self._times, self._core, self._meter, self._axes = steps, times, core, meter, axes
        self._report, self._note, self._who, self._began_s = report, note, who, now_s
        self._number = -1
        self._since_s = now_s
        self._spent_s = 0.0
        note(Kind.START, f"{kind} {name!r} begins: {len(steps)} steps, {times.total_s:.0f} s", who=who)

    def place(self, number: int) -> Place:
        return self._pieces.place(number)

    def remaining_s(self, number: int, state: State) -> float | None:
        if state.speed_limit_deg_s != self._times.limits_deg_s:
            try:
                self._times = Times(self._core, self._pieces, state.position_deg, state.speed_limit_deg_s)
            except Refused:     # a limit of 0: nobody can tell until it is raised
                return None
        return self._times.remaining_s(number)

    def moving(self, number: int, now_s: float) -> None:
        if number != self._number:
            self._number, self._spent_s = number, 0.0
            self._meter.clear()
        else:
            self._meter.skip()  # of the pause
        self._since_s = now_s

    def tick(self, now_s: float) -> None:
        self._meter.take()

    def arrived(self, number: int, state: State, now_s: float) -> None:
        step = self._pieces[number]
        if not step.targets:
            return
        self._meter.take()
        _, _, mean, largest = self._meter.means()
        index, inside = self._pieces.find(number)
        piece = self._pieces.pieces[index]
        repetition, position = divmod(inside, len(piece.steps))
        reached = ReportReached([step.targets.get(axis) for axis in range(self._axes)],
                          [round(deg, 3) for deg in state.position_deg], [round(counts, 1) for counts in mean],
                          [round(counts, 1) for counts in largest])
        self._report.move(ReportMove(number + 1, piece.name, repetition + 1, piece.order[position],
                               round(self._spent_s + now_s - self._since_s, 3), reached))

    def paused(self, who: str, now_s: float) -> None:
        self._spent_s += now_s - self._since_s
        self._interrupted("pause", "", who, now_s)

    def resumed(self, who: str, now_s: float) -> None:
        self._since_s = now_s
        self._interrupted("resume", "", who, now_s)

    def ended(self, why: str, now_s: float) -> None:
        if why != DONE:
            self._interrupted("end", why, "", now_s)
        self._note(Kind.COMMAND, f"{self.kind} {self.name!r} ended: {why}", who=self._who)
        self._report.end(why, round(now_s - self._began_s, 1))

    def _interrupted(self, what: str, why: str, who: str, now_s: float) -> None:
        after_s = round(now_s - self._began_s, 1)
        self._report.interruption(ReportInterruption(max(0, self._number) + 1, after_s, what, why, who))


class Report:
    """Writes one report as it grows. What the disk does not take is counted, and never holds the arm up."""

    def __init__(self, library: Library, beginning: Beginning) -> None:
        self._library = library
        self._number: int | None = None
        self._lost = 0
        self._waiting: list[Callable[[Exercises, int], Future[None]]] | None = []
        self._library(lambda store: store.begin_report(beginning)).add_done_callback(self._begun)

    def move(self, move: ReportMove) -> None:
        """One more position was reached."""
        self._write(lambda store, number: store.add_move(number, move))

    def interruption(self, item: ReportInterruption) -> None:
        """A pause, a resume, an end."""
        self._write(lambda store, number: store.add_interruption(number, item))

    def end(self, why: str, seconds: float) -> None:
        """It is over."""
        self._write(lambda store, number: store.end_report(number, why, seconds, self._lost))

    def _write(self, work: Callable[[Exercises, int], Future[None]]) -> None:
        if self._waiting is not None:
            self._waiting.append(work)
            del self._waiting[:-MOVES_AT_ONCE]
        elif self._number is None:
            self._lost += 1
        else:
            number = self._number
            self._library(lambda store: work(store, number)).add_done_callback(self._written)

    def _begun(self, done: Future[int]) -> None:
        waiting, self._waiting = self._waiting or [], None
        if (error := done.exception()) is None:
            self._number = done.result()
        else:
            log.error("no report is kept of what is played: %s", error)
        for work in waiting:
            self._write(work)

    def _written(self, done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            if not self._lost:
                log.error("the report of what is played is not complete: %s", error)
            self._lost += 1


def done(value: T) -> Future[T]:
    """A future that is done."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


def chain(first: Future[T], follow: Callable[[T], Future[U]]) -> Future[U]:
    """What `follow` begins with the result of `first`; the failure of either."""
    joined: Future[U] = Future()

    def pass_on(second: Future[U]) -> None:
        if (error := second.exception()) is not None:
            joined.set_exception(error)
        else:
            joined.set_result(second.result())

    def came(found: Future[T]) -> None:
        try:
            follow(found.result()).add_done_callback(pass_on)
        except Exception as error:
            joined.set_exception(error)

    first.add_done_callback(came)
    return joined


def refusal(error: BaseException) -> Refused:
    """What went wrong on the way to the exercises, as an answer."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, NotStored | NotAllowed):
        return Refused(Notice.VALUE, "exercise" if error.field == "name" else error.field, str(error.args[0]))
    if isinstance(error, StoreError):
        return Refused(Notice.BLOCKED, "", str(error))
    if isinstance(error, Busy):
        return Refused(Notice.BUSY, "", str(error))
    log.error("fault while playing", exc_info=error)
    return Refused(Notice.INTERNAL, "", Notice.INTERNAL.doc)



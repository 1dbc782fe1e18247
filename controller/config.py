"""Configuration: a TOML file -> frozen typed structs. Bounds stand beside each key; every mistake is reported at once.

An unknown key is an error (there is no key that nobody reads). Errors name the file and line or the flag, the dotted
key, what was found and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta

from controller.config_reader import ConfigError, Problem, Reader, Section, keys, read, shown, written
from controller.hmi.options import is_loopback
from controller.spec import chain, history, telegram
from controller.spec import external as spec_external
from controller.spec import hmi as spec_hmi
from controller.spec import input as spec_input
from controller.spec import load as spec_load

__all__ = ["Config", "ConfigError", "Limits", "Problem", "check_axes", "check_line_budget", "load", "notes"]

CYCLES_OF_SILENCE = 100  # an older answer could be taken for a newer one by its sequence number
QUICK_STOP_S = 0.5  # from full speed to a stop at most
PERIODS_OF_SILENCE = 3  # motor bus: communication is never called lost after fewer periods
FLAGS: dict[str, str] = {  # the command line's name of a key
    "bus.port": "--bus-port", "bus.baudrate": "--baudrate", "loop.rate_hz": "--rate", "arm.axes": "--axes",
    "hmi.host": "--hmi-host", "hmi.port": "--hmi-port",
}
SECRET = {"hmi.token"}
BAUDRATES = (9600, 4_000_000)


class Bus(Section, frozen=True):
    """The motor bus: the serial line to the arm's base board."""

    port: Annotated[str, Meta(max_length=4096, description="serial port: a device path or a pyserial URL such as "
                              "socket://host:port; empty starts the simulated arm")] = ""
    baudrate: Annotated[int, Meta(ge=BAUDRATES[0], le=BAUDRATES[1], description="line speed, one of pyserial's "
                                  "rates; must carry loop.rate_hz with 20 % to spare")] = 3_000_000
    connect_retry_s: Annotated[float, Meta(ge=0.05, le=60, description="pause between two attempts to connect")] = 0.5
    give_up_after_s: Annotated[float, Meta(ge=0, le=86_400, description="end with exit code 3 when the arm was not "
                                           "reached for so long; 0 never gives up")] = 0.0
    silence_ms: Annotated[float, Meta(ge=1, le=1000, description="communication is lost after so long without a "
                                      "valid answer; at least 3 periods, when not written: raised to 3 periods")] = 20.0


class Loop(Section, frozen=True):
    """The control loop and its real-time settings."""

    rate_hz: Annotated[int, Meta(ge=10, le=2000, description="control cycles per second")] = 1000
    priority: Annotated[int, Meta(ge=0, le=98, description="SCHED_FIFO priority; 0 runs without real time")] = 80
    cpu: Annotated[int, Meta(ge=-1, le=1023, description="processor of the control thread, from 0; -1 takes the last "
                             "isolated one, else the last one where there are several")] = -1
    lock_memory: Annotated[bool, Meta(description="lock the memory of the process (mlockall)")] = True
    spin_us: Annotated[int, Meta(ge=0, le=200, description="wake up so much early and spin to the deadline")] = 0
    require_realtime: Annotated[bool, Meta(description="refuse to start when a real-time setting is refused")] = False
    max_overruns_in_a_row: Annotated[int, Meta(ge=1, le=1000, description="more missed deadlines in a row are an error "
                                               "(quick stop)")] = 20


class Arm(Section, frozen=True):
    """The arm that is expected."""

    axes: Annotated[int, Meta(ge=0, le=telegram.MAX_AXES, description="number of axes; 0 takes what the arm says, else "
                              "the arm must say the same")] = 0
    side: Annotated[Literal["right", "left"], Meta(description="which arm it is, for an arm without [[joint]] tables")
                    ] = "right"
    elbow_axis: Annotated[int, Meta(ge=0, le=telegram.MAX_AXES, description="the axis that is the elbow; 0 takes axis "
                                    f"{chain.ELBOW_AXIS} where there is one")] = 0
    wrist_axis: Annotated[int, Meta(ge=0, le=telegram.MAX_AXES, description="the axis that turns the wrist; 0 takes "
                                    f"axis {chain.WRIST_AXIS} where there is one")] = 0


Part = Annotated[float, Meta(ge=-1, le=1)]
Millimetres = Annotated[float, Meta(ge=-chain.LONGEST_OFFSET_MM, le=chain.LONGEST_OFFSET_MM)]


class Joint(Section, frozen=True):
    """One joint of the chain, axis 1 first; none at all: the default arm. One [[joint]] per axis."""

    axis: Annotated[tuple[Part, Part, Part], Meta(description="direction of the axis of rotation, x, y, z, of length "
                                                  "1, in the frame of the joint before")] = (0.0, 0.0, 0.0)
    offset_mm: Annotated[tuple[Millimetres, Millimetres, Millimetres], Meta(
        description="from the joint before (from the base: of axis 1) to this one, x, y, z, in that joint's frame")
        ] = (0.0, 0.0, 0.0)


class Hand(Section, frozen=True):
    """The hand, and how it moves along straight lines."""

    offset_mm: Annotated[tuple[Millimetres, ...], Meta(max_length=3, description="from the last joint to the hand, x, "
                                                       "y, z, in that joint's frame; empty takes the default arm's")
                         ] = ()
    max_speed_mm_s: Annotated[float, Meta(ge=1, le=2000, description="speed of the hand in Cartesian motions, at 100 %")
                              ] = 250.0
    max_acceleration_mm_s2: Annotated[float, Meta(ge=10, le=20_000, description="acceleration of the hand in Cartesian "
                                                  "jogs; its jerk is ten times as much per second")] = 1000.0


class Limits(Section, frozen=True):
    """Limits of one axis; keys left out come from [motion]. One [[axis]] per axis, axis 1 first."""

    max_speed_deg_s: Annotated[float, Meta(ge=0.1, le=360, description="joint speed that is never exceeded")] = 60.0
    max_acceleration_deg_s2: Annotated[float, Meta(ge=1, le=10_000, description="joint acceleration of every "
                                                   "motion and of the soft stop")] = 300.0
    max_jerk_deg_s3: Annotated[float, Meta(ge=10, le=1_000_000, description="joint jerk of every motion and of the "
                                           "soft stop")] = 3000.0
    quick_stop_deceleration_deg_s2: Annotated[float, Meta(ge=1, le=20_000, description="deceleration of the quick "
                                                          "stop; at least max_acceleration_deg_s2, and "
                                                          "twice max_speed_deg_s a second")] = 900.0


class Motion(Limits, frozen=True):
    """Limits of every axis without an [[axis]] of its own, and how motions are supervised."""

    position_gain_1_s: Annotated[float, Meta(ge=0, le=50, description="position loop: deg/s per degree of following "
                                             "error")] = 5.0
    limit_margin_deg: Annotated[float, Meta(ge=0.3, le=30, description="set-points stay so far inside the hard "
                                            "limits, whose touch is an emergency stop")] = 1.0
    following_error_deg: Annotated[float, Meta(ge=0.1, le=45, description="greater distance between commanded and "
                                               "actual position is an error")] = 8.0
    standstill_speed_deg_s: Annotated[float, Meta(ge=0.1, le=60, description="faster movement while standing still is "
                                                  "an error")] = 3.0
    standstill_drift_deg: Annotated[float, Meta(ge=0.1, le=45, description="greater drift while standing still is an "
                                                "error")] = 2.0
    in_position_counts: Annotated[int, Meta(ge=0, le=1000, description="sensor counts from the target at which an "
                                            "axis is on target")] = 2
    jog_timeout_ms: Annotated[float, Meta(ge=20, le=200, description="a jog not refreshed for so long ends "
                                          "softly")] = 200.0


class Link(Section, frozen=True):
    """Mass of the link behind one joint, limb and structure; axis 1 first. One [[link]] per axis, or none: then the
    simulated arm has its own, and any other arm no compliant mode and no contact."""

    mass_kg: Annotated[float, Meta(ge=0, le=50, description="mass; 0 where it is counted to another link")] = 0.0
    centre_mm: Annotated[tuple[Millimetres, Millimetres, Millimetres], Meta(
        description="its centre of mass, x, y, z, from the joint, in the frame of its [[joint]]")] = (0.0, 0.0, 0.0)
    limb: Annotated[Literal["none", "upper_arm", "forearm"], Meta(
        description="the weight share (registers 91, 93) that scales it")] = "none"
    torque_counts_per_nm: Annotated[float, Meta(ge=-100_000, le=100_000, description="torque sensor: counts per Nm, "
                                                "negative where it counts the other way; not 0")] = 50.0
    torque_zero_counts: Annotated[float, Meta(
        ge=-spec_load.TORQUE_ZERO_HIGHEST_COUNTS, le=spec_load.TORQUE_ZERO_HIGHEST_COUNTS, description="torque "
        "sensor: what it reads without a torque; `allyarm calibrate fit` finds it")] = 0.0
    inertia_kg_m2: Annotated[float, Meta(ge=0, le=100, description="about its joint, of all that its torque sensor "
                                         "moves, limb included; 0: found from masses and lengths. Compliant mode gets "
                                         "no lighter than it allows")] = 0.0
    contact_nm: Annotated[float, Meta(ge=0, le=1000, description="contact: torque of this axis; 0 takes "
                                      "contact.torque_nm")] = 0.0


class Compliant(Section, frozen=True):
    """Compliant mode: a hand leads the arm. Dead band and gains are settings (registers 180..199)."""

    response_ms: Annotated[float, Meta(ge=20, le=2000, description="time constant with which the speed follows the "
                                       "hand's torque at least; larger feels heavier and calmer")] = 120.0
    limit_zone_deg: Annotated[float, Meta(ge=1, le=60, description="so far before a limit the resistance grows")] = 10.0
    max_speed_percent: Annotated[float, Meta(ge=1, le=100, description="of the speed limit in force, that a hand can "
                                             "reach")] = 50.0


class Contact(Section, frozen=True):
    """A torque that the load does not explain: contact or spasm (error 650)."""

    action: Annotated[Literal["off", "stop", "retreat"], Meta(
        description="soft stop, or after it a little way with the outside torque; off: only compliant mode ends")
        ] = "stop"
    torque_nm: Annotated[float, Meta(ge=0.1, le=1000, description="greater torque beside the load is a contact")] = 6.0
    time_ms: Annotated[float, Meta(ge=1, le=2000, description="when it lasts so long; three times the torque at once")
                       ] = 50.0
    standing: Annotated[bool, Meta(description="also while the arm stands in AUTO: what comes suddenly there; a weight "
                                   "of less than that torque which is laid in within a second or more is none")] = True
    retreat_deg: Annotated[float, Meta(ge=0.5, le=30, description="longest way of an axis in a retreat")] = 5.0


class Safety(Section, frozen=True):
    """The emergency stop chain."""

    relay_switch_ms: Annotated[float, Meta(ge=1, le=1000, description="switching time of the motor power relay: "
                                           "a shorter mismatch is no error")] = 50.0


class Battery(Section, frozen=True):
    """Battery voltage -> charge. Below the minimum is error 30, above 110 % of the maximum is warning 120."""

    minimum_v: Annotated[float, Meta(ge=1, le=65, description="voltage shown as 0 %")] = 21.0
    maximum_v: Annotated[float, Meta(ge=1, le=65, description="voltage shown as 100 %; above minimum_v")] = 25.2
    averaging_s: Annotated[float, Meta(ge=0, le=60, description="time constant of the averaged voltage")] = 1.0


class Hmi(Section, frozen=True):
    """The Socket.IO server for the HMI."""

    host: Annotated[str, Meta(min_length=1, max_length=255, description="address to listen on; any but loopback needs "
                              "token, or insecure = true")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0 takes a free one")] = spec_hmi.DEFAULT_PORT
    rate_hz: Annotated[int, Meta(ge=spec_hmi.RATE_MINIMUM_HZ, le=spec_hmi.RATE_MAXIMUM_HZ,
                                 description="`data` messages per second")] = spec_hmi.RATE_DEFAULT_HZ
    allowed_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+\Z", description="\"http(s)://host[:port]\"")], ...],
        Meta(max_length=100, description="further web origins, like \"https://clinic.example:8080\"; the same host on "
             "any port and loopback are always allowed")] = ()
    token: Annotated[str, Meta(pattern=r"^([\x21-\x7e]{16,256})?\Z", description="secret that clients must send: 16 to "
                               "256 printable characters without spaces; empty for no login")] = ""
    board_address: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f.:]{2,45})?\Z", description="this controller's IP address "
                                       "on its own hot-spot, which the base board fetches firmware from; empty takes "
                                       "host")] = ""
    language: Annotated[Literal["en", "it"], Meta(description="language in which all clients get errors and warnings")
                        ] = "en"
    insecure: Annotated[bool, Meta(description="listen beyond loopback without a login: whoever reaches the port can "
                                   "move the arm")] = False


class Store(Section, frozen=True):
    """Settings, saved positions and history."""

    path: Annotated[str, Meta(max_length=4096, description="folder; empty takes $STATE_DIRECTORY, else "
                              "~/.local/state/allyarm")] = ""
    history_rows: Annotated[int, Meta(ge=history.ROWS_MINIMUM, le=history.ROWS_MAXIMUM, description="entries of the "
                                      "history; older ones are dropped, but for the latest errors")
                            ] = history.ROWS_DEFAULT


class External(Section, frozen=True):
    """External development: a program of your own moves the arm (docs/external.md)."""

    enabled: Annotated[bool, Meta(description="let programs of the controller's user connect; an operator admits "
                                  "them")] = False
    heartbeat_ms: Annotated[float, Meta(ge=5, le=200, description="an admitted program that sends no valid target for "
                                        "so long loses control, and the arm stops softly; at least 3 periods")] = 20.0
    path: Annotated[str, Meta(max_length=4096, description="socket that programs connect to; empty takes `external` in "
                              "$RUNTIME_DIRECTORY, else in the folder of [store]")] = ""


class Input(Section, frozen=True):
    """3D mice and game pads that move the arm (docs/input-devices.md)."""

    enabled: Annotated[bool, Meta(description="let input devices move the arm: whoever plugs one in may")] = False
    devices: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,80}\Z", description='"vendor:product" or "a name"')], ...],
        Meta(max_length=20, description="only these: vendor:product in hexadecimal as `allyarm devices` shows it, or a "
             "name with * and ?; empty takes every 3D mouse and game pad")] = ()
    dead_zone_percent: Annotated[float, Meta(ge=1, le=spec_input.REST_PERCENT_HIGHEST, description="deflection that "
                                             "counts as at rest")] = 10.0
    silence_ms: Annotated[float, Meta(ge=50, le=200, description="a 3D mouse that is deflected and tells nothing for "
                                      "so long: speed 0")] = 150.0
    still_ms: Annotated[float, Meta(ge=200, le=10_000, description="a game pad that is deflected and tells nothing for "
                                    "so long: speed 0; it tells changes only, so that a lost radio link looks like a "
                                    "hand that holds still")] = 1000.0
    may_start: Annotated[bool, Meta(description="a deflection is also the operator's start, like any motion command; "
                                    "false: motor power has to be on")] = True


class InputAxis(Section, frozen=True):
    """One row of the mapping of input devices: an axis of a device drives a joint, in one of the modes that the right
    button cycles. One [[input_axis]] per row; none at all: the default modes."""

    mode: Annotated[str, Meta(max_length=spec_input.MODE_LONGEST, description="the mode it belongs to; modes are "
                              "cycled in the order of their first rows")] = ""
    axis: Annotated[str, Meta(max_length=16, description="axis of the device: " + ", ".join(spec_input.AXIS))] = ""
    drives: Annotated[str, Meta(max_length=16, description=f"joint 1..joint {telegram.MAX_AXES}; or x, y, z of the "
                                "hand")] = ""
    device: Annotated[str, Meta(max_length=80, description="only for this kind of device (3D mouse, game pad, other) "
                                "or name, with * and ?; empty for all")] = ""
    invert: Annotated[bool, Meta(description="the other way round")] = False
    sensitivity_percent: Annotated[float, Meta(ge=0.1, le=100, description="speed at full deflection; on top of the "
                                               "sensitivity set at the page")] = 100.0
    dead_zone_percent: Annotated[float, Meta(ge=0, le=spec_input.REST_PERCENT_HIGHEST, description="a wider dead zone "
                                             "than [input] has, for this row")] = 0.0

    def row(self) -> dict[str, object]:
        """As rows of a scenario are."""
        return msgspec.structs.asdict(self)


class Sim(Section, frozen=True):
    """The simulated arm that is started when bus.port is empty."""

    axes: Annotated[int, Meta(ge=1, le=telegram.MAX_AXES, description="number of axes; when not written, "
                              "arm.axes if that is given")] = 4
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="seed of noise and faults: same seed, same run")] = 1


class Update(Section, frozen=True):
    """Updates of the program over the network (docs/update.md)."""

    url: Annotated[str, Meta(max_length=1000, pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?\Z", description="address of the "
                             "manufacturer's repository, http(s)://host/path; what is there is signed, so plain http "
                             "serves too. Empty: no updates")] = ""
    channel: Annotated[Literal["stable", "beta"], Meta(description="releases to take; beta takes both")] = "stable"
    start_s: Annotated[float, Meta(ge=2, le=120, description="a new release must run and reach its arm within so long, "
                                   "or the one before comes back")] = 12.0
    confirm_s: Annotated[float, Meta(ge=1, le=600, description="then it must run well for so long before it stays")
                         ] = 20.0


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration. `axis` holds complete limits: what a table leaves out was taken from [motion]."""

    bus: Bus = Bus()
    loop: Loop = Loop()
    arm: Arm = Arm()
    motion: Motion = Motion()
    axis: tuple[Limits, ...] = ()
    joint: tuple[Joint, ...] = ()
    link: tuple[Link, ...] = ()
    hand: Hand = Hand()
    compliant: Compliant = Compliant()
    contact: Contact = Contact()
    safety: Safety = Safety()
    battery: Battery = Battery()
    hmi: Hmi = Hmi()
    store: Store = Store()
    external: External = External()
    input: Input = Input()
    input_axis: tuple[InputAxis, ...] = ()
    update: Update = Update()
    sim: Sim = Sim()

    @property
    def simulated(self) -> bool:
        """True when the simulated arm is to be started."""
        return not self.bus.port

    def limits(self, axis: int) -> Limits:
        """Limits of an axis (0-based)."""
        return self.axis[axis] if axis < len(self.axis) else self.motion


SECTIONS: dict[str, type[Section]] = {
    name: {"axis": Limits, "joint": Joint, "link": Link, "input_axis": InputAxis}.get(name, kind)
    for name, kind in get_type_hints(Config).items()
}
LISTS = ("axis", "joint", "link")  # sections that are written as [[name]], once per axis
ROWS = ("input_axis",)  # and those written as often as one likes


def load(path: Path | None, overrides: Mapping[str, object] | None = None) -> Config:
    """The configuration from a file (None: defaults), with flags on top.

    `overrides` maps dotted keys to values ("loop.rate_hz": 500); None means the flag was not given. They keep the
    bounds of the file's keys. Raises ConfigError with every problem.
    """
    flags = {key: value for key, value in (overrides or {}).items() if value is not None}
    text, tables = read(path) if path is not None else ("", {})
    reader = Reader(path, text, SECTIONS, {key: FLAGS.get(key, "override") for key in flags}, SECRET)
    for dotted, value in flags.items():
        section, _, key = dotted.partition(".")
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    for name in tables:
        if name not in SECTIONS:
            reader.unknown(name, name, list(SECTIONS))
    sections: dict[str, Any] = {
        name: reader.section(kind, name, tables.get(name, {}), {})
        for name, kind in SECTIONS.items() if name not in (*LISTS, *ROWS)
    }
    shared = {name: getattr(sections["motion"], name) for name in keys(Limits)}
    for name in (*LISTS, *ROWS):
        given = tables.get(name, [])
        if not isinstance(given, list):
            per = "axis" if name in LISTS else "row"
            reader.report(name, f"found {shown(given)}", f"[[{name}]] tables, one per {per}")
            given = []
        defaults = shared if name == "axis" else {}
        sections[name] = tuple(reader.section(SECTIONS[name], f"{name}[{number}]", table, defaults)
                               for number, table in enumerate(given, 1))
    config = _with_derived_defaults(Config(**sections), tables)
    _cross_check(config, reader)
    if reader.problems:
        raise ConfigError(reader.problems)
    return config


def _with_derived_defaults(config: Config, tables: Mapping[str, Any]) -> Config:
    """Defaults that follow another key when they are not written: silence_ms the rate, sim.axes the arm's."""
    def written(section: str, key: str) -> bool:
        table = tables.get(section)
        return isinstance(table, Mapping) and key in table

    if not written("bus", "silence_ms"):
        longest = max(config.bus.silence_ms, PERIODS_OF_SILENCE * 1000 / config.loop.rate_hz)
        config = msgspec.structs.replace(config, bus=msgspec.structs.replace(config.bus, silence_ms=longest))
    if config.simulated and config.arm.axes and not written("sim", "axes"):
        config = msgspec.structs.replace(config, sim=msgspec.structs.replace(config.sim, axes=config.arm.axes))
    return config


def _cross_check(config: Config, reader: Reader) -> None:
    """What one key alone cannot tell."""
    from serial.serialutil import SerialBase

    bus, loop, hmi, battery, axes = config.bus, config.loop, config.hmi, config.battery, expected_axes(config)
    rates = [rate for rate in SerialBase.BAUDRATES if BAUDRATES[0] <= rate <= BAUDRATES[1]]
    reader.require(bus.baudrate in rates, ["bus.baudrate"], f"found {bus.baudrate}",
                   f"one of {', '.join(map(str, rates))}")
    shortest = PERIODS_OF_SILENCE * 1000 / loop.rate_hz
    reader.require(bus.silence_ms >= shortest, ["bus.silence_ms", "loop.rate_hz"], f"found {bus.silence_ms:g}",
                   f"at least {shortest:g} ({PERIODS_OF_SILENCE} periods at loop.rate_hz = {loop.rate_hz})")
    longest = CYCLES_OF_SILENCE * 1000 / loop.rate_hz
    reader.require(bus.silence_ms <= longest, ["bus.silence_ms", "loop.rate_hz"], f"found {bus.silence_ms:g}",
                   f"at most {longest:g} ({CYCLES_OF_SILENCE} cycles at loop.rate_hz = {loop.rate_hz}: sequence "
                   "numbers are 8 bits wide)")
    try:
        check_line_budget(axes or 1, loop.rate_hz, bus.baudrate)
    except ConfigError as error:
        for problem in error.problems:
            reader.require(False, [problem.key, "bus.baudrate", "arm.axes", "sim.axes"], problem.found, problem.allowed)
    reader.require(not (config.simulated and config.arm.axes) or config.arm.axes == config.sim.axes,
                   ["arm.axes", "sim.axes"], f"found {config.arm.axes}",
                   f"0 or {config.sim.axes}, the axes of the simulated arm (sim.axes)")
    for name in LISTS:
        given = len(getattr(config, name))
        reader.require(given <= telegram.MAX_AXES, [name], f"found {given} [[{name}]] tables",
                       f"up to {telegram.MAX_AXES}")
        reader.require(not axes or given in (0, axes), [name, "arm.axes", "sim.axes"],
                       f"found {given} [[{name}]] tables", f"none or {axes}, one per axis")
    _check_chain(config, reader, axes)
    for number, link in enumerate(config.link, 1):
        reader.require(link.torque_counts_per_nm != 0, [f"link[{number}].torque_counts_per_nm"], "found 0",
                       "-100000..100000, not 0")
    for name, limits in [("motion", config.motion), *((f"axis[{i}]", item) for i, item in enumerate(config.axis, 1))]:
        reader.require(limits.quick_stop_deceleration_deg_s2 >= limits.max_acceleration_deg_s2,
                       [f"{name}.quick_stop_deceleration_deg_s2", f"{name}.max_acceleration_deg_s2"],
                       f"found {limits.quick_stop_deceleration_deg_s2:g}",
                       f"at least {limits.max_acceleration_deg_s2:g} (max_acceleration_deg_s2)")
        slowest = limits.max_speed_deg_s / QUICK_STOP_S
        reader.require(limits.quick_stop_deceleration_deg_s2 >= slowest,
                       [f"{name}.quick_stop_deceleration_deg_s2", f"{name}.max_speed_deg_s"],
                       f"found {limits.quick_stop_deceleration_deg_s2:g}",
                       f"at least {slowest:g}, a stop from max_speed_deg_s = {limits.max_speed_deg_s:g} within "
                       f"{QUICK_STOP_S:g} s")
    reader.require(battery.minimum_v < battery.maximum_v, ["battery.minimum_v", "battery.maximum_v"],
                   f"found {battery.minimum_v:g}", f"below maximum_v ({battery.maximum_v:g})")
    _check_input(config, reader)
    beat = spec_external.PERIODS_OF_SILENCE * 1000 / loop.rate_hz
    reader.require(not config.external.enabled or config.external.heartbeat_ms >= beat,
                   ["external.heartbeat_ms", "loop.rate_hz"], f"found {config.external.heartbeat_ms:g}",
                   f"at least {beat:g} ({spec_external.PERIODS_OF_SILENCE} periods at loop.rate_hz = {loop.rate_hz})")
    reader.require(is_loopback(hmi.host) or bool(hmi.token) or hmi.insecure, ["hmi.host", "hmi.token", "hmi.insecure"],
                   f"found {hmi.host!r}, which others can reach, without a login",
                   "a loopback address, or set hmi.token (or hmi.insecure = true)")


def _check_chain(config: Config, reader: Reader, axes: int) -> None:
    """Axes of rotation that have a direction, a hand that is somewhere, an elbow that exists."""
    for number, joint in enumerate(config.joint, 1):
        length = math.hypot(*joint.axis)
        reader.require(abs(length - 1) <= chain.AXIS_TOLERANCE, [f"joint[{number}].axis"],
                       f"found {written(joint.axis)}, of length {length:.4g}", "a direction of length 1")
    reader.require(len(config.hand.offset_mm) in (0, 3), ["hand.offset_mm"], f"found {written(config.hand.offset_mm)}",
                   "three numbers, x, y, z")
    reader.require(bool(config.hand.offset_mm) or not config.joint, ["hand.offset_mm"], "found none",
                   "three numbers, x, y, z: with [[joint]] tables there is no default arm")
    for name in ("elbow_axis", "wrist_axis"):
        axis = getattr(config.arm, name)
        reader.require(not axes or axis <= axes, [f"arm.{name}", "arm.axes", "sim.axes"], f"found {axis}",
                       f"0..{axes}, the axes of the arm")


def _check_input(config: Config, reader: Reader) -> None:
    """Rows of the mapping of input devices."""
    if not config.input_axis or any(problem.key.startswith("input_axis") for problem in reader.problems):
        return
    from controller.input import mapping

    axes = expected_axes(config)
    for wrong in mapping.problems([row.row() for row in config.input_axis]):
        key = f"input_axis[{wrong.row + 1}].{wrong.field}" if wrong.row >= 0 else "input_axis"
        value = getattr(config.input_axis[wrong.row], wrong.field, "") if wrong.row >= 0 else ""
        said, _, allowed = wrong.message.rpartition("allowed is ")
        reader.require(False, [key], said.strip("; ") or f"found {shown(value)}", allowed)
    for number, row in enumerate(config.input_axis, 1):
        joint = spec_input.JOINTS.index(row.drives) if row.drives in spec_input.JOINTS else -1
        reader.require(not axes or joint < axes, [f"input_axis[{number}].drives", "arm.axes", "sim.axes"],
                       f"found {shown(row.drives)}", f"joint 1..joint {axes}, the axes of the arm; x, y, z")


def expected_axes(config: Config) -> int:
    """Number of axes as far as known before bring-up; 0 when only the arm can tell."""
    return config.arm.axes or (config.sim.axes if config.simulated else 0)


def check_line_budget(axes: int, rate_hz: int, baudrate: int) -> None:
    """ConfigError when telegrams for `axes` axes (1..8) at `rate_hz` fill more than 80 % of the line."""
    highest = telegram.highest_rate_hz(axes, baudrate)
    if rate_hz > highest:
        raise ConfigError([Problem("", "loop.rate_hz", f"found {rate_hz}", f"at most {highest} with {axes} "
                                   f"{'axis' if axes == 1 else 'axes'} at {baudrate} baud (bus.baudrate), 20 % of the "
                                   "line kept free")])


def check_axes(config: Config, axes: int) -> None:
    """ConfigError when the number of axes the arm reported (1..8) does not fit the configuration.

    To be called after every bring-up: covers arm.axes, the number of [[axis]] and [[joint]] tables,
    elbow and wrist, and the line budget.
    """
    problems: list[Problem] = []
    if config.arm.axes not in (0, axes):
        problems.append(Problem("", "arm.axes", f"found {config.arm.axes}", f"0 or {axes}, as the arm says"))
    for name in LISTS:
        if (given := len(getattr(config, name))) not in (0, axes):
            problems.append(Problem("", name, f"found {given} [[{name}]] tables",
                                    f"none or {axes}, one per axis of the arm"))
    problems += [Problem("", f"arm.{name}", f"found {axis}", f"0..{axes}, the axes of the arm")
                 for name in ("elbow_axis", "wrist_axis") if (axis := getattr(config.arm, name)) > axes]
    try:
        check_line_budget(axes, config.loop.rate_hz, config.bus.baudrate)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems)


def notes(config: Config) -> Iterator[str]:
    """What is allowed but should be known to whoever runs it."""
    if 1000 / config.loop.rate_hz >= telegram.BOARD_WATCHDOG_MS:
        yield (f"loop.rate_hz = {config.loop.rate_hz}: a period is not shorter than the base board's watchdog "
               f"({telegram.BOARD_WATCHDOG_MS} ms), so motor power cannot stay on")
    if not config.loop.priority:
        yield "loop.priority = 0: the control loop runs without real-time scheduling"
    if config.hmi.insecure and not config.hmi.token and not is_loopback(config.hmi.host):
        yield f"hmi.insecure: whoever reaches {config.hmi.host} can move the arm"
    if not config.joint and not config.simulated:
        yield ("no [[joint]] tables: the default arm is assumed (docs/kinematics.md), places and lines of the "
               "hand are reckoned with its lengths")
    if not config.link and (config.joint or not config.simulated):
        yield ("no [[link]] tables: the masses of the arm are not known, so there is no compliant mode, and contacts "
               "are not found")
    if config.simulated:
        yield "bus.port is empty: the simulated arm is started"

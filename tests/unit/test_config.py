"""Configuration: defaults, bounds on every key, all mistakes at once, where they are, and the cross checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import config
from controller.chain import chain_of
from controller.config import ConfigError, load
from controller.config_reader import MAX_FILE_BYTES, keys
from controller.config_text import default_text
from controller.input.options import InputOptions
from controller.spec import telegram

SINGLE = {name: kind for name, kind in config.SECTIONS.items() if name not in (*config.LISTS, *config.ROWS)}
NUMBERS = [(section, key, hint, meta) for section, kind in SINGLE.items() for key, (hint, meta) in keys(kind).items()
           if get_args(hint)[0] in (int, float)]
EVERY = [(section, key) for section, kind in config.SECTIONS.items() for key in keys(kind)]
# what makes the cross checks agree with any single key at one of its bounds
COMPANIONS = {
    "loop.rate_hz": {"bus": {"silence_ms": 50}}, "bus.baudrate": {"loop": {"rate_hz": 10}, "sim": {"axes": 1}},
    "motion.max_acceleration_deg_s2": {"motion": {"quick_stop_deceleration_deg_s2": 20_000}},
    "motion.quick_stop_deceleration_deg_s2": {"motion": {"max_acceleration_deg_s2": 1, "max_speed_deg_s": 0.1}},
    "battery.minimum_v": {"battery": {"maximum_v": 65}}, "battery.maximum_v": {"battery": {"minimum_v": 1}},
    "bus.silence_ms": {"loop": {"rate_hz": 100}},
    "arm.elbow_axis": {"sim": {"axes": 8}}, "arm.wrist_axis": {"sim": {"axes": 8}},
}
NO_PARTNER = {("battery.minimum_v", "high"), ("battery.maximum_v", "low"), ("bus.silence_ms", "low")}


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "allyarm.toml"
        path.write_text(text)
        return path
    return write


def problems(path: Path | None, overrides: dict[str, object] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(path, overrides)
    return str(error.value).splitlines()


def toml(tables: dict[str, dict[str, Any]]) -> str:
    lines = []
    for section, table in tables.items():
        lines += [f"[{section}]", *(f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
                                    for key, value in table.items())]
    return "\n".join(lines)


def test_defaults() -> None:
    settings = load(None)
    assert settings == config.Config()
    assert (settings.loop.rate_hz, settings.bus.baudrate, settings.bus.silence_ms) == (1000, 3_000_000, 20.0)
    assert (settings.hmi.host, settings.hmi.port, settings.sim.axes) == ("127.0.0.1", 3001, 4)
    assert settings.simulated
    assert settings.limits(3).max_speed_deg_s == 60.0


def test_an_empty_file_is_the_defaults(file) -> None:
    assert load(file("")) == config.Config()


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        load(None).loop.rate_hz = 5  # type: ignore[misc]


def test_every_key_has_a_description_and_numbers_have_both_bounds() -> None:
    for kind in config.SECTIONS.values():
        assert set(keys(kind)) == set(kind.__struct_fields__)
        for hint, meta in keys(kind).values():
            assert meta.description
            if get_args(hint)[0] in (int, float):
                assert meta.ge is not None
                assert meta.le is not None


@pytest.mark.parametrize(("section", "key", "hint", "meta"), NUMBERS, ids=[f"{s}.{k}" for s, k, _, _ in NUMBERS])
def test_bounds_of_every_number(section: str, key: str, hint: Any, meta: msgspec.Meta, file) -> None:
    whole, dotted = get_args(hint)[0] is int, f"{section}.{key}"
    for name, bound, step in (("low", meta.ge, -1 if whole else -1e-6), ("high", meta.le, 1)):
        tables = {k: dict(v) for k, v in COMPANIONS.get(dotted, {}).items()}
        tables.setdefault(section, {})[key] = bound
        if (dotted, name) not in NO_PARTNER and not (dotted == "loop.rate_hz" and name == "low"):
            assert getattr(getattr(load(file(toml(tables))), section), key) == bound
        tables[section][key] = bound + step
        (problem,) = problems(file(toml(tables)))
        assert f"{dotted}: found {bound + step!r}; allowed: {'whole number' if whole else 'number'} " in problem


@pytest.mark.parametrize(("section", "key"), EVERY)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "{}", "[[]]", "1979-05-27", "[{a=1}]"])
def test_no_key_takes_nonsense(section: str, key: str, value: str, file) -> None:
    many = section in (*config.LISTS, *config.ROWS)
    head = f"[[{section}]]" if many else f"[{section}]"
    around = {"joint.offset_mm": "axis = [0, 0, 1]\n"}.get(f"{section}.{key}", "")
    around += "[hand]\noffset_mm = [0, 0, 1]\n" if section == "joint" else ""
    found = problems(file(f"{head}\n{key} = {value}\n{around}"), {"sim.axes": 1} if many else {})
    name = f"{section}[1]" if many else section
    assert len(found) == 1
    assert f"allyarm.toml:2: {name}.{key}: found " in found[0]
    assert "; allowed: " in found[0]


def test_types_are_not_bent(file) -> None:
    text = '[loop]\nrate_hz = "1000"\npriority = true\nlock_memory = 1\nspin_us = 1.0\n[bus]\nport = 3\n'
    assert len(problems(file(text))) == 5


def test_a_whole_number_is_good_where_a_number_is_wanted(file) -> None:
    assert load(file("[motion]\nposition_gain_1_s = 4\n")).motion.position_gain_1_s == 4.0


def test_all_mistakes_at_once_with_file_and_line(file) -> None:
    path = file("""[loop]
rate_hz = 5000
prioity = 3
[hmi]
port = -1
seed = 4
host = "0.0.0.0"
[[axis]]
[[axis]]
max_speed_deg_s = "fast"
[lop]
a = 1
""")
    assert problems(path, {"bus.baudrate": 12345, "sim.axes": 2}) == [
        f"{path}:11: lop: unknown key, did you mean loop?; allowed: {', '.join(config.SECTIONS)}",
        f"{path}:2: loop.rate_hz: found 5000; allowed: whole number 10..2000 (control cycles per second)",
        f"{path}:3: loop.prioity: unknown key, did you mean priority?; allowed: {', '.join(keys(config.Loop))}",
        f"{path}:5: hmi.port: found -1; allowed: whole number 0..65535 (TCP port; 0 takes a free one)",
        f"{path}:6: hmi.seed: unknown key, it belongs to [sim]; allowed: {', '.join(keys(config.Hmi))}",
        f"{path}:10: axis[2].max_speed_deg_s: found 'fast'; allowed: number 0.1..360 (joint speed that is never "
        "exceeded)",
        "--baudrate: bus.baudrate: found 12345; allowed: one of 9600, 19200, 38400, 57600, 115200, 230400, 460800, "
        "500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000",
        f"{path}:7: hmi.host: found '0.0.0.0', which others can reach, without a login; allowed: a loopback address, "
        "or set hmi.token (or hmi.insecure = true)",
    ]


def test_sections_must_be_tables(file) -> None:
    assert "loop: found 3; allowed: a table [loop]" in problems(file("loop = 3"))[0]
    assert "axis: found 3; allowed: [[axis]] tables" in problems(file("axis = 3"))[0]
    assert "axis[1]: found 'x'; allowed: a table [axis[1]]" in problems(file('axis = ["x"]'))[0]


def test_a_section_that_is_no_table_and_a_flag_for_it(file) -> None:
    assert len(problems(file("loop = 3"), {"loop.rate_hz": 500})) == 1


@pytest.mark.parametrize(("content", "message"), [
    (b"[loop\nrate_hz = 3\n", ":1: is not TOML"),
    (b"[loop]\nrate_hz = 3\nrate_hz = 4\n", ":3: is not TOML"),
    (b"\xff\xfe", "byte 0 is not UTF-8"),
    (b"#" * (MAX_FILE_BYTES + 1), f"up to {MAX_FILE_BYTES} bytes"),
    (b"a=" + b"[" * 100_000, "allowed: key = value lines"),
    (b"[loop]\nrate_hz = " + b"9" * 5000, "holds a value that cannot be read: Exceeds the limit"),
    (b"[loop]\nrate_hz = 0x" + b"f" * 5000, ":2: loop.rate_hz: found a huge number; allowed: whole number"),
    (b"[hmi]\nallowed_origins = [0x" + b"f" * 5000 + b"]", "hmi.allowed_origins: found a huge number"),
    (b"[battery]\nminimum_v = " + b"9" * 4000, "battery.minimum_v: found 9999"),
])
def test_broken_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    (problem,) = problems(path)
    assert str(path) in problem
    assert message in problem


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problems(tmp_path / "none.toml")[0]
    assert "cannot be read: Is a directory" in problems(tmp_path)[0]


def test_flags_override_the_file_and_keep_its_bounds(file) -> None:
    path = file("[loop]\nrate_hz = 500\n[hmi]\nport = 4000\n")
    settings = load(path, {"loop.rate_hz": 250, "hmi.port": None})
    assert (settings.loop.rate_hz, settings.hmi.port) == (250, 4000)
    assert problems(path, {"loop.rate_hz": 5}) == [
        "--rate: loop.rate_hz: found 5; allowed: whole number 10..2000 (control cycles per second)"]
    assert problems(path, {"loop.speed": 5})[0].startswith("override: loop.speed: unknown key")


def test_every_flag_names_a_key() -> None:
    assert set(config.FLAGS) <= {f"{section}.{key}" for section, key in EVERY}


def test_limits_of_an_axis_come_from_motion_when_left_out(file) -> None:
    settings = load(file("[sim]\naxes = 2\n[motion]\nmax_speed_deg_s = 20\n[[axis]]\n[[axis]]\nmax_jerk_deg_s3 = 50\n"))
    assert settings.limits(0).max_speed_deg_s == 20
    assert (settings.limits(1).max_speed_deg_s, settings.limits(1).max_jerk_deg_s3) == (20, 50)
    assert settings.limits(0).max_jerk_deg_s3 == 3000


def test_silence_must_not_outlast_the_sequence_numbers(file) -> None:
    (problem,) = problems(file("[bus]\nsilence_ms = 101\n"))
    assert "at most 100 (100 cycles at loop.rate_hz = 1000" in problem


def test_silence_follows_the_rate_unless_written(file) -> None:
    assert load(None, {"loop.rate_hz": 100}).bus.silence_ms == 30
    (problem,) = problems(file("[bus]\nsilence_ms = 20\n"), {"loop.rate_hz": 100})
    assert "bus.silence_ms: found 20; allowed: at least 30 (3 periods at loop.rate_hz = 100)" in problem


def test_line_budget_names_the_highest_rate(file) -> None:
    (problem,) = problems(None, {"bus.baudrate": 115200})
    assert problem.startswith("loop.rate_hz: found 1000; allowed: at most 85 with 4 axes at 115200 baud")
    (problem,) = problems(None, {"loop.rate_hz": 2000, "arm.axes": 8})
    assert problem.startswith("--rate: loop.rate_hz: found 2000; allowed: at most 1176 with 8 axes at 3000000 baud")
    # a real arm has yet to tell its axes: only what one axis cannot do is refused before
    load(None, {"bus.port": "/dev/ttyAMA0", "bus.baudrate": 460800})
    assert "at most 256 with 1 axis" in problems(None, {"bus.port": "/dev/ttyAMA0", "bus.baudrate": 115200})[0]


@pytest.mark.parametrize("axes", range(1, 9))
@pytest.mark.parametrize("baudrate", [9600, 115200, 1_000_000, 3_000_000])
def test_line_budget_is_exactly_80_percent(axes: int, baudrate: int) -> None:
    highest = telegram.highest_rate_hz(axes, baudrate)
    assert highest * 10 * (24 * axes + 12) <= 0.8 * baudrate < (highest + 1) * 10 * (24 * axes + 12)
    config.check_line_budget(axes, highest, baudrate)
    with pytest.raises(ConfigError, match=f"at most {highest} with"):
        config.check_line_budget(axes, highest + 1, baudrate)


def test_axes_of_the_arm_are_checked_after_bring_up(file) -> None:
    real = load(file('[bus]\nport = "/dev/ttyAMA0"\n[arm]\naxes = 5\n'))
    config.check_axes(real, 5)
    with pytest.raises(ConfigError, match=r"arm\.axes: found 5; allowed: 0 or 4, as the arm says"):
        config.check_axes(real, 4)
    limits = load(file('[bus]\nport = "/dev/ttyAMA0"\n[[axis]]\n[[axis]]\n'))
    config.check_axes(limits, 2)
    with pytest.raises(ConfigError, match=r"found 2 \[\[axis\]\] tables; allowed: none or 3"):
        config.check_axes(limits, 3)
    fast = load(None, {"bus.port": "/dev/ttyAMA0", "loop.rate_hz": 2000})
    with pytest.raises(ConfigError, match=r"loop\.rate_hz: found 2000; allowed: at most 1176 with 8 axes"):
        config.check_axes(fast, 8)


def test_simulated_axes(file) -> None:
    assert load(None, {"arm.axes": 6}).sim.axes == 6
    assert config.expected_axes(load(None)) == 4
    assert config.expected_axes(load(None, {"bus.port": "/dev/ttyS0"})) == 0
    (problem,) = problems(file("[sim]\naxes = 5\n"), {"arm.axes": 6})
    assert problem.startswith("--axes: arm.axes: found 6; allowed: 0 or 5, the axes of the simulated arm")


def test_number_of_axis_tables(file) -> None:
    path = file("[[axis]]\n" * 3)
    assert "found 3 [[axis]] tables; allowed: none or 4, one per axis" in problems(path)[0]
    assert "allowed: up to 8" in problems(file("[[axis]]\n" * 9), {"bus.port": "x"})[0]


def test_relations_between_keys(file) -> None:
    text = "[motion]\nquick_stop_deceleration_deg_s2 = 100\n[battery]\nminimum_v = 25\nmaximum_v = 25\n"
    first, second = problems(file(text))
    assert "motion.quick_stop_deceleration_deg_s2: found 100; allowed: at least 300 (max_acceleration_deg_s2)" in first
    assert "battery.minimum_v: found 25; allowed: below maximum_v (25)" in second
    text = "[sim]\naxes = 1\n[[axis]]\nmax_acceleration_deg_s2 = 901\n"
    assert "axis[1].quick_stop_deceleration_deg_s2: found 900" in problems(file(text))[0]


def test_the_quick_stop_ends_every_motion_within_half_a_second(file) -> None:
    head = "[motion]\nmax_acceleration_deg_s2 = 100\n"
    assert load(file(f"{head}max_speed_deg_s = 100\nquick_stop_deceleration_deg_s2 = 200\n")).axis == ()
    (problem,) = problems(file(f"{head}max_speed_deg_s = 100\nquick_stop_deceleration_deg_s2 = 199\n"))
    assert "motion.quick_stop_deceleration_deg_s2: found 199; allowed: at least 200" in problem
    assert "max_speed_deg_s = 100 within 0.5 s" in problem
    text = "[sim]\naxes = 1\n[motion]\nquick_stop_deceleration_deg_s2 = 300\n[[axis]]\nmax_speed_deg_s = 200\n"
    (problem,) = problems(file(text))
    assert "axis[1].quick_stop_deceleration_deg_s2: found 300; allowed: at least 400" in problem
    assert "max_speed_deg_s = 200" in problem


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_login(host: str) -> None:
    assert load(None, {"hmi.host": host}).hmi.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "arm.local", "localhost.evil.example", "127.0.0.1 "])
def test_other_addresses_need_a_token_or_insecure(host: str) -> None:
    assert "--hmi-host: hmi.host: found" in problems(None, {"hmi.host": host})[0]
    assert load(None, {"hmi.host": host, "hmi.token": "x" * 16}).hmi.token
    assert load(None, {"hmi.host": host, "hmi.insecure": True}).hmi.insecure


@pytest.mark.parametrize("token", ["short", "x" * 257, "with a space in it", "line\nbreak-line-break", "ü" * 20,
                                   "x" * 16 + "\n"])
def test_a_bad_token_is_refused_and_never_shown(token: str) -> None:
    (problem,) = problems(None, {"hmi.host": "0.0.0.0", "hmi.token": token})
    assert "hmi.token: found a value that is not shown" in problem
    assert token not in problem


def test_origins(file) -> None:
    good = '[hmi]\nallowed_origins = ["http://clinic.example", "https://10.0.0.1:8443"]\n'
    assert load(file(good)).hmi.allowed_origins == ("http://clinic.example", "https://10.0.0.1:8443")
    for bad in ('["*"]', '"http://a"', '["http://a/path"]', '["ftp://a"]', "[3]"):
        assert "hmi.allowed_origins: found" in problems(file(f"[hmi]\nallowed_origins = {bad}\n"))[0]


def test_long_values_are_shortened(file) -> None:
    (problem,) = problems(file(f'[loop]\nrate_hz = "{"x" * 5000}"\n'))
    assert len(problem) < 300


def test_notes(file) -> None:
    chain, masses = config.notes(load(None, {"bus.port": "/dev/ttyS0"}))
    assert chain.startswith("no [[joint]] tables")
    assert masses.startswith("no [[link]] tables")
    real = ("[bus]\nport = '/dev/ttyS0'\n[hand]\noffset_mm = [300, 0, 0]\n"
            "[[joint]]\naxis = [0, 1, 0]\noffset_mm = [0, 0, 0]\n[[link]]\n")
    assert list(config.notes(load(file(real)))) == []
    text = file('[loop]\nrate_hz = 20\npriority = 0\n[hmi]\nhost = "::"\ninsecure = true\n')
    assert [note.split(":")[0].split(" ")[0] for note in config.notes(load(text))] == [
        "loop.rate_hz", "loop.priority", "hmi.insecure", "bus.port"]


def test_the_default_file_holds_every_key_commented_out(file) -> None:
    """As the package installs it, and with every key uncommented: the defaults. No key is missing, no line is old."""
    path = Path(__file__).parents[2] / "systemd" / "allyarm.toml"
    text = path.read_text()
    assert text == default_text(), "make docs"
    uncommented, count = re.subn(r"(?m)^#(?=[a-z_0-9]+ = )", "", text)
    single = [name for name in config.SECTIONS if name not in (*config.LISTS, *config.ROWS)]
    assert count == sum(len(keys(config.SECTIONS[name])) for name in single)
    assert load(path) == load(file(uncommented)) == load(None)
    with path.open("rb") as stream:
        assert set(tomllib.load(stream)) == set(single)
    for name in (*config.LISTS, *config.ROWS):      # tables that are repeated can only be shown
        assert f"# [[{name}]]" in text
        assert all(f"#   {key} = " in text.split(f"# [[{name}]]")[1] for key in keys(config.SECTIONS[name]))


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8)


@given(st.dictionaries(st.sampled_from([f"{section}.{key}" for section, key in EVERY if section not in config.LISTS]) |
                       st.text(max_size=12), json, max_size=6))
def test_whatever_is_given_is_refused_or_within_bounds(overrides: dict[str, object]) -> None:
    """SAF-9: no value outside its bounds comes through, and nothing but ConfigError comes out."""
    try:
        settings = load(None, overrides)
    except ConfigError:
        return
    for section, key, _, meta in NUMBERS:
        assert meta.ge <= getattr(getattr(settings, section), key) <= meta.le


@given(st.binary(max_size=200))
def test_any_file_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    path.write_bytes(content)
    try:
        load(path)
    except ConfigError as refusal:
        error = str(refusal)
    else:
        return
    assert str(path) in error


def test_there_is_no_key_that_nobody_reads() -> None:
    folder = Path(config.__file__).parent
    text = "\n".join(path.read_text() for path in folder.rglob("*.py") if not path.name.startswith("config"))
    used = set(re.findall(r"\.(\w+)\b", text))
    assert [(section, key) for section, key in EVERY if key not in used] == []


CHAIN = ("[[joint]]\naxis = [0, 0, 1]\n[[joint]]\naxis = [0, 1, 0]\noffset_mm = [0, 0, -300]\n"
         "[hand]\noffset_mm = [0, 0, -200]\n")


def test_a_chain_of_joints(file) -> None:
    settings = load(file(CHAIN), {"sim.axes": 2})
    rows = chain_of(settings, 2)
    assert [row["axis"] for row in rows["joints"]] == [(0, 0, 1), (0, 1, 0)]
    assert rows["joints"][1]["offset_mm"] == (0, 0, -300)
    assert rows["hand_offset_mm"] == (0, 0, -200)
    assert (rows["elbow_axis"], rows["wrist_axis"]) == (0, 0)


def test_an_axis_of_rotation_is_made_one_of_length_1(file) -> None:
    """Few digits are good enough to write; the core wants all of them."""
    settings = load(file("[[joint]]\naxis = [0.707, 0.707, 0]\n[hand]\noffset_mm = [0, 0, 1]\n"), {"sim.axes": 1})
    x, y, z = chain_of(settings, 1)["joints"][0]["axis"]
    assert abs(x * x + y * y + z * z - 1) < 1e-12


@pytest.mark.parametrize(("text", "message"), [
    (CHAIN.replace("[0, 0, 1]", "[0, 0, 0]"), ":2: joint[1].axis: found [0, 0, 0], of length 0; allowed: a direction"),
    (CHAIN.replace("[0, 1, 0]", "[0, 0.9, 0]"), ":4: joint[2].axis: found [0, 0.9, 0], of length 0.9; allowed: a"),
    (CHAIN.replace("[0, 1, 0]", "[0, nan, 0]"), ":4: joint[2].axis: found [0, nan, 0]; allowed: list of 3 numbers"),
    (CHAIN.replace("[0, 1, 0]", "[0, 2, 0]"), ":4: joint[2].axis: found [0, 2, 0]; allowed: list of 3 numbers -1..1"),
    (CHAIN.replace("[0, 1, 0]", "[0, 1]"), ":4: joint[2].axis: found [0, 1]; allowed: list of 3 numbers -1..1"),
    (CHAIN.replace("-300", "-2001"), ":5: joint[2].offset_mm: found [0, 0, -2001]; allowed: list of 3 numbers -2000"),
    (CHAIN.replace("-200]", "inf]"), ":7: hand.offset_mm: found [0, 0, inf]; allowed: list of 3 numbers -2000..2000"),
    (CHAIN.replace("[0, 0, -200]", "[1, 2]"), ":7: hand.offset_mm: found [1, 2]; allowed: three numbers"),
    (CHAIN.partition("[hand]")[0], "hand.offset_mm: found none; allowed: three numbers, x, y, z: with [[joint]]"),
    (CHAIN + "[arm]\nelbow_axis = 3\n", ":9: arm.elbow_axis: found 3; allowed: 0..2, the axes of the arm"),
    (CHAIN + "[arm]\nwrist_axis = 3\n", ":9: arm.wrist_axis: found 3; allowed: 0..2, the axes of the arm"),
    (CHAIN + "[[joint]]\naxis = [1, 0, 0]\n", "joint: found 3 [[joint]] tables; allowed: none or 2, one per axis"),
    ("joint = 3\n", "joint: found 3; allowed: [[joint]] tables"),
])
def test_a_chain_that_makes_no_sense_names_its_key(text: str, message: str, file) -> None:
    (problem,) = problems(file(text), {"sim.axes": 2})
    assert message in problem


def test_a_chain_for_another_arm_is_refused_at_bring_up(file) -> None:
    settings = load(file(CHAIN + "[arm]\nelbow_axis = 2\n[bus]\nport = \"/dev/arm\"\n"))
    config.check_axes(settings, 2)
    with pytest.raises(ConfigError, match=r"joint: found 2 \[\[joint\]\] tables"):
        config.check_axes(settings, 1)
    with pytest.raises(ConfigError, match=r"arm\.elbow_axis: found 2; allowed: 0\.\.1"):
        config.check_axes(settings, 1)


def test_rows_of_input_devices(file) -> None:
    row = '[[input_axis]]\nmode = "arm"\naxis = "x"\ndrives = "joint 1"\n'
    text = '[input]\nenabled = true\ndevices = ["046d:c626", "Sony*"]\nstill_ms = 10000\n' + row + row.replace(
        '"joint 1"', '"joint 2"\ninvert = true\nsensitivity_percent = 40\ndead_zone_percent = 25')
    options = InputOptions.from_config(load(file(text)))
    assert options is not None
    assert (options.devices, options.still_s, options.dead_zone) == (("046d:c626", "Sony*"), 10.0, 0.1)
    assert options.modes.source == "configuration"
    first, second = options.modes.rows["arm"]
    assert (first.joint, second.joint, second.invert, second.sensitivity_percent) == (0, 1, True, 40)
    assert InputOptions.from_config(load(file(row))) is None        # not enabled
    plain = InputOptions.from_config(load(file("[input]\nenabled = true\n")))
    assert plain is not None
    assert plain.modes.source == "default"


@pytest.mark.parametrize(("change", "line", "words"), [
    (('"x"', '"q"'), 11, ["input_axis[2].axis: found 'q'", "allowed: one of x, y"]),
    (('"arm"', '""'), 10, ["input_axis[2].mode", "1..24"]),
    (('"joint 1"', '"joint 5"'), 12, ["input_axis[2].drives: found 'joint 5'", "joint 1..joint 4"]),
    (('"joint 1"', '"joint 9"'), 12, ["input_axis[2].drives: found 'joint 9'", "one of joint 1"]),
    (('"joint 1"', '"z"'), 4, ["input_axis: mode 'arm' drives joints and the hand"]),
    (('axis =', 'axle ='), 11, ["input_axis[2].axle: unknown key", "did you mean axis"]),
])
def test_a_wrong_row_of_input_devices_is_found_in_its_line(file, change: tuple[str, str], line: int,
                                                          words: list[str]) -> None:
    """Between tables of another kind: lines are counted per kind."""
    row = '[[input_axis]]\nmode = "arm"\naxis = "x"\ndrives = "joint 1"\n'
    text = "[[axis]]\n[[axis]]\n[[axis]]\n" + row + "[[axis]]\n" + row.replace(*change)
    (problem,) = problems(file(text), {"sim.axes": 4})
    assert f"allyarm.toml:{line}: " in problem
    assert all(word in problem for word in words), problem

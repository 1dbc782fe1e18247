"""Hold-to-run: late, repeated and reordered jogs are dropped and counted; a release always counts."""

from __future__ import annotations

import pytest

from controller.hmi.jogging import Hold
from controller.spec import hmi
from controller.spec.hmi import Notice
from controller.spec.modes import MasterState
from tests.handler_bench import Bench, notice

SPEED, ZERO = [10, 0, 0, 0], [0, 0, 0, 0]


def take(hold: Hold, now_s: float, sequence: int | None = None, *, sent_ms: float | None = None, age_ms: float = 0.0,
         released: bool = False) -> str:
    """Field of the refusal, "" when taken."""
    found = hold.take(now_s, released=released, sequence=sequence, sent_ms=sent_ms, age_ms=age_ms)
    return found[0] if found else ""


def test_sequence_numbers_grow_within_a_hold() -> None:
    hold = Hold()
    assert [take(hold, 1.0 + i / 100, n) for i, n in enumerate((5, 6, 6, 4, 9, 8, 10))] == [
        "", "", "sequence", "sequence", "", "sequence", ""]
    assert take(hold, 1.2, 3, released=True) == ""  # an old release ends the hold all the same
    assert take(hold, 1.3, 1) == ""  # a new hold


def test_a_hold_that_was_not_released_is_forgotten() -> None:
    hold = Hold()
    take(hold, 1.0, 50)
    assert take(hold, 1.0 + hmi.JOG_FORGOTTEN_S, 10) == "sequence"
    assert take(hold, 1.1 + hmi.JOG_FORGOTTEN_S, 10) == ""


def test_jogs_that_waited_in_a_queue_do_not_act() -> None:
    hold = Hold()
    assert take(hold, 100.0, 1, sent_ms=5_000.0) == ""
    assert take(hold, 100.1, 2, sent_ms=5_100.0) == ""
    late = [take(hold, 100.9, 3 + i, sent_ms=5_200.0 + 100 * i) for i in range(8)]  # a burst after a stalled link
    assert late == ["sent_ms"] * 5 + ["", "", ""]
    assert take(hold, 101.0, 20, sent_ms=6_000.0) == ""


@pytest.mark.parametrize("stall_s", [0.3, 0.9, 2.5])
def test_a_link_that_stalls_is_no_release(stall_s: float) -> None:
    """A stop while the link of the hand that still holds stands still: what comes after it must not undo the stop."""
    hold = Hold()
    for i in range(5):
        assert take(hold, 100.0 + i / 10, i, sent_ms=5_000.0 + 100 * i) == ""
    hold.end()
    held = round(stall_s * 10)
    burst = [take(hold, 100.4 + stall_s, 5 + i, sent_ms=5_500.0 + 100 * i) for i in range(held)]
    assert len(burst) == held
    last_ms = 5_400.0 + 100 * held
    assert hold.ended
    assert take(hold, 100.5 + stall_s, 90, sent_ms=last_ms + 100.0) == ""    # refused as such, of no field
    assert hold.ended
    assert take(hold, 100.6 + stall_s, 91, sent_ms=last_ms + 200.0, released=True) == ""
    assert not hold.ended
    hold.end()
    assert take(hold, 100.9 + stall_s, 92, sent_ms=last_ms + 500.0) == ""   # the hand itself was away for 300 ms
    assert not hold.ended


def test_age_of_the_input_counts_too() -> None:
    hold = Hold()
    assert take(hold, 1.0, age_ms=199.0) == ""
    assert take(hold, 1.0, age_ms=201.0) == "age_ms"
    assert take(hold, 1.0, age_ms=1e6, released=True) == ""


def test_clocks_may_drift_apart() -> None:
    hold = Hold()
    for i in range(4 * 3600):  # an hour at 4 Hz, the client's clock 100 ppm slow: 360 ms
        assert take(hold, i / 4, i, sent_ms=i / 4 * 1e3 * (1 - 1e-4)) == ""


def test_a_jog_without_numbers_is_taken_as_it_comes() -> None:
    hold = Hold()
    assert {take(hold, float(i)) for i in range(5)} == {""}


def test_dropped_jogs_reach_neither_the_core_nor_the_control_token() -> None:
    bench = Bench()
    bench.ask("jog", speed_percent=SPEED, sequence=7)
    bench.control._last_s = 0.0
    for fields in ({"sequence": 7}, {"sequence": 6}, {"sequence": 8, "age_ms": 300}):
        kind, _, text = notice(lambda fields=fields: bench.ask("jog", speed_percent=SPEED, **fields))  # type: ignore[misc]
        assert kind == Notice.STALE
        assert text
    assert len(bench.ring.pushed) == 1
    assert bench.control._last_s == 0.0
    bench.ask("jog", speed_percent=ZERO, sequence=6, age_ms=5000)
    assert bench.last[1]["values"] == (0, 0, 0, 0)


@pytest.mark.parametrize(("fields", "field"), [
    ({"sequence": -1}, "sequence"), ({"sequence": 1.5}, "sequence"), ({"sequence": "1"}, "sequence"),
    ({"sequence": True}, "sequence"), ({"sent_ms": "now"}, "sent_ms"), ({"sent_ms": 1e300}, "sent_ms"),
    ({"age_ms": -1}, "age_ms"), ({"age_ms": None}, "age_ms"), ({"sequence": 2**60}, "sequence"),
])
def test_wrong_numbers_are_named(fields: dict[str, object], field: str) -> None:
    bench = Bench()
    kind, found, text = notice(lambda: bench.ask("jog", speed_percent=SPEED, **fields))
    assert (kind, found) == (Notice.VALUE, field)
    assert "allowed" in text
    assert bench.ring.pushed == []


@pytest.mark.parametrize("left_for", [MasterState.TRANSITION_TO_WAITING, MasterState.WAITING, MasterState.ERROR])
@pytest.mark.parametrize("seen_by", ["the round", "the next jog"])
def test_a_jog_held_while_the_arm_leaves_auto_has_to_be_released(left_for: MasterState, seen_by: str) -> None:
    """Whoever stopped it: the main thread, say, because this very thread hung for seconds."""
    bench = Bench()
    at_s = 10.0

    def jog(speed: list[int]) -> None:
        nonlocal at_s
        at_s += 0.1
        bench.ask("jog", speed_percent=speed, now_s=at_s)

    jog(SPEED)
    bench.state.state = int(MasterState.AUTO)
    jog(SPEED)
    bench.state.state = int(left_for)
    if seen_by == "the round":
        bench.handlers.tick(at_s)
        bench.state.state = int(MasterState.WAITING)        # a reset, perhaps
    for _ in range(5):
        kind, _, text = notice(lambda: jog(SPEED))
        assert (kind, "release it first" in text) == (Notice.STALE, True)
        bench.state.state = int(MasterState.WAITING)
    assert len(bench.ring.pushed) == 2
    jog(ZERO)
    jog(SPEED)
    assert len(bench.ring.pushed) == 4

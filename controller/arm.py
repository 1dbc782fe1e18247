"""What bring-up learned about the arm, and the conversion between sensor counts and degrees.

Thread contract: values are frozen; the main thread makes a new ArmFacts after each bring-up and hands it over whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

INT16_MIN, INT16_MAX = -32768, 32767


class AxisFacts(msgspec.Struct, frozen=True):
    """Parameters of one axis as its registers give them (bring-up), and the configuration's speed maximum and margin.

    `resolution_counts` (> 0) and `stroke_deg` (> 0) belong together; `speed_conversion_deg` is degrees per microstep
    and may be negative; `inverted` turns the sensor only.
    """

    resolution_counts: int
    stroke_deg: float
    zero_counts: int
    inverted: bool
    hard_minimum_counts: int
    hard_maximum_counts: int
    speed_conversion_deg: float
    max_speed_deg_s: float
    limit_margin_deg: float = 0.0

    def degrees(self, counts: float) -> float:
        """Joint angle of a sensor reading: dir x stroke / resolution x (counts - zero) (motor bus, section 2)."""
        return self._deg_per_count() * (counts - self.zero_counts)

    def counts(self, position_deg: float) -> int:
        """Nearest sensor reading of a joint angle; ValueError when it is not finite or outside int16."""
        if not math.isfinite(position_deg):
            raise ValueError(f"{position_deg} is not a finite number of degrees")
        counts = round(self.zero_counts + position_deg / self._deg_per_count())
        if not INT16_MIN <= counts <= INT16_MAX:
            low, high = sorted((self.degrees(INT16_MIN), self.degrees(INT16_MAX)))
            raise ValueError(f"{position_deg:g} deg is {counts} counts, outside int16: "
                             f"allowed {low:.2f}..{high:.2f} deg")
        return counts

    @property
    def minimum_deg(self) -> float:
        """Lower hard limit in degrees (of an inverted axis that is the maximum in counts)."""
        return min(self.degrees(self.hard_minimum_counts), self.degrees(self.hard_maximum_counts))

    @property
    def maximum_deg(self) -> float:
        """Upper hard limit in degrees."""
        return max(self.degrees(self.hard_minimum_counts), self.degrees(self.hard_maximum_counts))

    @property
    def target_minimum_deg(self) -> float:
        """Lowest target: the hard limit and its margin."""
        return self.minimum_deg + self.limit_margin_deg

    @property
    def target_maximum_deg(self) -> float:
        """Highest target."""
        return self.maximum_deg - self.limit_margin_deg

    def _deg_per_count(self) -> float:
        return (-1.0 if self.inverted else 1.0) * self.stroke_deg / self.resolution_counts


class ArmFacts(msgspec.Struct, frozen=True):
    """The arm: serial number, board software version, and one AxisFacts per axis (1..8)."""

    serial: str
    version: str
    axis: tuple[AxisFacts, ...]
    chain: Mapping[str, Any] | None = None  # its joints, as chain.chain_of gives them

    @property
    def axes(self) -> int:
        return len(self.axis)

    def counts(self, axis: int, position_deg: float) -> int:
        """Nearest counts of 0-based `axis`; ValueError that names the axis (1-based) and the range."""
        try:
            return self.axis[axis].counts(position_deg)
        except ValueError as error:
            raise ValueError(f"axis {axis + 1}: {error}") from None

    def degrees(self, axis: int, counts: float) -> float:
        """Degrees of 0-based `axis`."""
        return self.axis[axis].degrees(counts)

    def with_margin(self, limit_margin_deg: float) -> ArmFacts:
        """The same arm, its targets kept so far inside the hard limits."""
        replace = msgspec.structs.replace
        return replace(self, axis=tuple(replace(axis, limit_margin_deg=limit_margin_deg) for axis in self.axis))

    def check_target(self, axis: int, position_deg: float) -> None:
        """ValueError that names the axis and the range when a target is not inside its limits less the margin."""
        margin_deg = self.axis[axis].limit_margin_deg
        self._check(axis, position_deg, margin_deg, f"the range for targets (hard limits less {margin_deg:g} deg)")

    def check_limit(self, axis: int, position_deg: float) -> None:
        """ValueError that names the axis and the range when a position is not within its hard limits."""
        self._check(axis, position_deg, 0.0, "its hard limits")

    def _check(self, axis: int, position_deg: float, margin_deg: float, what: str) -> None:
        low, high = self.axis[axis].minimum_deg + margin_deg, self.axis[axis].maximum_deg - margin_deg
        if not low <= position_deg <= high:
            raise ValueError(f"axis {axis + 1}: {position_deg:g} deg is outside {what}, "
                             f"allowed {low:.2f}..{high:.2f} deg")

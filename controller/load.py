"""The mass model that the configuration describes, and what may lead or push the arm, as the core takes it."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from controller.arm import ArmFacts
from controller.chain import chain_of
from controller.config import Config, Link
from controller.spec import load
from controller.spec.modes import ContactAction


def links_of(config: Config, axes: int) -> tuple[Link, ...] | None:
    """The [[link]] tables of an arm with so many axes (1..8): the configured ones, or the simulated arm's own; None
    where the masses are not known."""
    if config.link:
        return config.link[:axes]
    if config.simulated and not config.joint:
        return tuple(Link(**msgspec.structs.asdict(row)) for row in load.default_links(axes, config.arm.side))
    return None


def load_of(config: Config, facts: ArmFacts) -> dict[str, Any] | None:
    """Links and limits for the core; None where the masses of this arm are not known: a real arm, or one with [[joint]]
    tables, without [[link]] tables. Then nothing leads the arm by hand, and no contact is found."""
    links = links_of(config, facts.axes)
    if links is None:
        return None
    offsets_mm = [joint["offset_mm"] for joint in chain_of(config, facts.axes)["joints"]]
    inertia = load.longest_inertia_kg_m2(links, offsets_mm)
    rows = []
    for number, (link, inertia_kg_m2) in enumerate(zip(links, inertia, strict=True), 1):
        spring = number == load.SPRING_AXIS
        rows.append({
            "mass_kg": link.mass_kg, "centre_mm": link.centre_mm, "limb": load.LIMBS.index(link.limb),
            "torque_counts_per_nm": link.torque_counts_per_nm, "torque_zero_counts": link.torque_zero_counts,
            "inertia_counts": math.radians(inertia_kg_m2) * abs(link.torque_counts_per_nm),
            "contact_counts": (link.contact_nm or config.contact.torque_nm) * abs(link.torque_counts_per_nm),
            "spring_offset_counts": facts.spring_offset_counts if spring else 0.0,
            "spring_counts_per_deg": facts.spring_counts_per_deg if spring else 0.0,
        })
    return {
        "links": rows, "contact_action": ContactAction[config.contact.action.upper()],
        "contact_standing": config.contact.standing, "contact_ms": config.contact.time_ms,
        "retreat_deg": config.contact.retreat_deg,
        "response_ms": config.compliant.response_ms, "limit_zone_deg": config.compliant.limit_zone_deg,
        "max_speed_percent": config.compliant.max_speed_percent,
    }

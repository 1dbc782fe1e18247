"""The mass model that the configuration describes, and what may lead or push the arm, as the core takes it."""

from __future__ import annotations

import math
from typing import Any

from controller.arm import ArmFacts
from controller.chain import chain_of
from controller.config import Config
from controller.spec import load
from controller.spec.modes import ContactAction


def load_of(config: Config, facts: ArmFacts) -> dict[str, Any] | None:
    """Links and limits for the core; None where the masses of this arm are not known: a real arm, or one with [[joint]]
    tables, without [[link]] tables. Then nothing leads the arm by hand, and no contact is found."""
    if config.link:
        links = [load.LinkRow(link.mass_kg, link.centre_mm, link.limb, link.torque_counts_per_nm,
                              link.inertia_kg_m2) for link in config.link[:facts.axes]]
        contact_nm = [link.contact_nm or config.contact.torque_nm for link in config.link]
    elif config.simulated and not config.joint:
        links = load.default_links(facts.axes, config.arm.side)
        contact_nm = [config.contact.torque_nm] * facts.axes
    else:
        return None
    offsets_mm = [joint["offset_mm"] for joint in chain_of(config, facts.axes)["joints"]]
    inertia = load.longest_inertia_kg_m2(links, offsets_mm)
    rows = []
    for number, (link, limit_nm, inertia_kg_m2) in enumerate(zip(links, contact_nm, inertia, strict=False), 1):
        spring = number == load.SPRING_AXIS
        rows.append({
            "mass_kg": link.mass_kg, "centre_mm": link.centre_mm, "limb": load.LIMBS.index(link.limb),
            "torque_counts_per_nm": link.torque_counts_per_nm,
            "inertia_counts": math.radians(inertia_kg_m2) * abs(link.torque_counts_per_nm),
            "contact_counts": limit_nm * abs(link.torque_counts_per_nm),
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

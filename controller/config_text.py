"""The default configuration file: every key with its default, its meaning and what is allowed, each commented out."""

from __future__ import annotations

import textwrap

from controller import config
from controller.config_reader import allowed, keys, written

WIDTH = 118
HEAD = """\
# AllyArm controller. Every key stands here with its default, commented out: remove the # of a line and change it.
# Check before it counts:        allyarm check /etc/allyarm/allyarm.toml
# Then, with motor power off:    systemctl restart allyarm
#
# On a board, the first thing to set is bus.port: without it the simulated arm is started. An upgrade of the package
# keeps this file as it is.
"""


def default_text() -> str:
    """The text of the file; with every `#key = value` uncommented it loads, and is the defaults."""
    lines = [HEAD.rstrip()]
    for name, kind in config.SECTIONS.items():
        repeated = name in (*config.LISTS, *config.ROWS)
        default = kind()
        lines += ["", *_prose((kind.__doc__ or "").replace("\n", " "))]
        lines.append(f"# [[{name}]]" if repeated else f"[{name}]")
        for key, (hint, meta) in keys(kind).items():
            inherited = name == "axis"
            value = written(getattr(default, key))
            lines += _prose(f"{meta.description}. Allowed: {allowed(hint)}.", "#     ")
            lines.append(f"#   {key} = {value}{'   # not written: that of [motion]' if inherited else ''}" if repeated
                         else f"#{key} = {value}")
    return "\n".join(lines) + "\n"


def _prose(text: str, indent: str = "# ") -> list[str]:
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=indent,
                         break_long_words=False, break_on_hyphens=False)

"""Tables of docs/hmi.md from spec/hmi.py, for `python -m controller.spec.docs`."""

from __future__ import annotations

import msgspec

from controller.spec import hmi
from controller.spec.docs import markdown


def table(name: str) -> str:
    """`hmi forms`, `buttons`, `modes`, `tests`, `commands`, `data`, `settings`, `actions`, `notices`, `roles`,
    `limits`."""
    return {
        "forms": _forms, "buttons": _buttons, "modes": _modes, "tests": _tests, "commands": _commands, "data": _data,
        "settings": _settings, "actions": _actions, "notices": _notices, "roles": _roles, "limits": _limits,
    }[name]()


def _keys(setting: hmi.Setting) -> str:
    if setting.span == "one":
        return f"`{setting.key}`"
    count = "5" if setting.span == "five" else "N"
    step = f", every {setting.step}th" if setting.step > 1 else ""
    return f"`{setting.key}`.. ({count} values{step})"


def _forms() -> str:
    def keys(form: hmi.Form) -> str:
        parts = [f"`{key}`" for key in form.required]
        if form.axes:
            parts.append(f"some of `{form.axes}`.. (N values)")
        if form.settings:
            owned = ", ".join(_keys(hmi.SETTING[name]) for name in form.settings)
            parts.append(f"{'all' if form.whole else 'some'} of {owned}")
        return " and ".join(parts)

    return markdown(("form", "keys", "meaning", "control", "role"), (
        (form.name, keys(form), form.doc, hmi.ACTION[form.action].control,
         max([hmi.ACTION[form.action].role, *(hmi.SETTING[name].role for name in form.settings)]).name.lower())
        if form.name not in {"mode", "test_cycle"} else (form.name, keys(form), form.doc, "by number", "by number")
        for form in hmi.FORMS))


def _buttons() -> str:
    return markdown(("button", "action", "available"), (
        (f'`["{name}"]`', hmi.ACTION[action].doc, "yes" if hmi.ACTION[action].available else "not yet")
        for name, action in hmi.BUTTONS.items()))


def _coded(codes: dict[int, str]) -> str:
    return markdown(("number", "action", "available"), (
        (code, hmi.ACTION[action].doc, "yes" if hmi.ACTION[action].available else "not yet")
        for code, action in codes.items()))


def _modes() -> str:
    return _coded(hmi.MODES)


def _tests() -> str:
    return _coded(hmi.TEST_CYCLES)


def _commands() -> str:
    from controller.hmi import messages

    def fields(name: str, kind: type[msgspec.Struct]) -> str:
        return ", ".join(f"`{item.name}`: {messages.ALLOWED[name, item.name]}" for item in msgspec.structs.fields(kind))

    return markdown(("type", "fields", "does"), (
        (f"`{name}`", fields(name, kind), " ".join((kind.__doc__ or "").split()))
        for name, kind in messages.BY_TYPE.items()))


def _data() -> str:
    shapes = {"node": f"{hmi.NODES} numbers", "five": f"{hmi.MAP_AXES} numbers", "axis": "N numbers",
              "number": "number", "text": "text", "object": "object", "list": "array"}
    return markdown(("field", "shape", "unit", "meaning"), (
        (f"`{row.name}`", shapes[row.shape], row.unit, row.doc) for row in hmi.DATA_FIELDS))


def allowed_values(row: hmi.Setting) -> str:
    """What a setting may be, in words."""
    if row.kind == "boolean":
        return "true, false"
    if row.kind == "choice":
        return ", ".join("null" if item is None else item for item in row.choices)
    return f"text of 1..{row.high:g} characters" if row.kind == "text" else f"{row.low:g}..{row.high:g}"


def _settings() -> str:
    def default(row: hmi.Setting) -> str:
        return "never saved" if row.default is None else str(row.default).lower() if row.kind == "boolean" else str(
            row.default)

    return markdown(("name", "HMI keys", "allowed", "unit", "default", "role"), (
        (f"`{row.names(1)[0]}`{'..' if row.span != 'one' else ''}", _keys(row), allowed_values(row), row.unit,
         default(row), row.role.name.lower()) for row in hmi.SETTINGS))


def _actions() -> str:
    return markdown(("action", "does", "role", "control", "refused in the first second", "other contract version"), (
        (row.name, row.doc if row.available else f"{row.doc} (not available yet)", row.role.name.lower(), row.control,
         "yes" if row.guarded else "", "allowed" if row.incompatible else "refused") for row in hmi.ACTIONS))


def _notices() -> str:
    return markdown(("id", "`error.code`", "when"), (
        (int(row), f"`{row.name.lower()}`", row.doc) for row in hmi.Notice))


def _roles() -> str:
    return markdown(("role", "number", "may"), ((row.name.lower(), int(row), row.doc) for row in hmi.Role))


def _limits() -> str:
    return markdown(("limit", "value"), (
        ("messages per second and client", hmi.MESSAGES_PER_S), ("bytes per message", hmi.MESSAGE_BYTES),
        ("bytes of a complete `data` message, below", hmi.DATA_BYTES),
        ("rate of `data` and `state`, Hz", f"{hmi.RATE_MINIMUM_HZ:g}..{hmi.RATE_MAXIMUM_HZ:g}, default "
                                           f"{hmi.RATE_DEFAULT_HZ:g}"),
        ("a client that does not read is dropped after, s", f"{hmi.STALLED_S:g}"),
        ("motion is refused after a connection for, s", f"{hmi.REPLAY_WINDOW_S:g}"),
        ("control is lost without a command while nothing moves after, s", f"{hmi.CONTROL_IDLE_S:g}"),
        ("a jog ends when not repeated within, s", f"{hmi.JOG_REFRESH_S:g}")))

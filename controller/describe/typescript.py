"""TypeScript declarations of events and HTTP bodies: the JSON Schemas, written as types."""

from __future__ import annotations

import json
import re
from typing import Any

from controller.describe.schemas import Schema, event_schemas, http_schemas
from controller.spec import hmi, rest

TUPLE_LONGEST = 4
PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}
IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)
HEAD = """\
/**
 * Messages of the AllyArm controller, HMI contract {version}. Generated: do not edit.
 *
 * With socket.io-client:
 *   const arm: Socket<ServerToClientEvents, ClientToServerEvents> = io("http://127.0.0.1:{port}");
 */
"""


def text() -> str:
    """The document served at /allyarm.d.ts."""
    events, definitions = event_schemas("{name}")
    bodies, more = http_schemas("{name}")
    parts = [HEAD.format(version=hmi.CONTRACT_VERSION, port=hmi.DEFAULT_PORT)]
    parts += [_declaration(name, schema) for name, schema in {**definitions, **more}.items()]
    parts += [f"export type {name} = {written(schema)};" for name, schema in bodies.items()
              if name not in more and name not in definitions]
    parts.append(_interface("ServerToClientEvents", "Events that the controller sends.", [
        f"{name}: (message: {written(events[name])}) => void;" for name in (hmi.DATA, hmi.STATE)]))
    answers = {hmi.RESPONSE: "acknowledgement", hmi.COMMAND: "commandAcknowledgement"}
    parts.append(_interface("ClientToServerEvents", "Events that the controller takes; `answer` asks for an "
                            "acknowledgement.", [
        f"{name}: (message: {written(events[name])}, answer?: (answer: {written(events[answer])}) => void) => void;"
        for name, answer in answers.items()]))
    parts.append(_interface("RestApi", "HTTP requests: what is sent and what is answered; errors are a Problem.", [
        f'"{row.method} {row.path}": {{ request: {row.request or "undefined"}; answer: {row.answer} }};'
        for row in rest.ENDPOINTS]))
    return "\n".join(parts)


def _interface(name: str, doc: str, lines: list[str]) -> str:
    return f"/** {doc} */\nexport interface {name} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _declaration(name: str, schema: Schema) -> str:
    doc = _comment(schema, "")
    if schema.get("type") == "object" and "properties" in schema:
        return f"{doc}export interface {name} {written(schema)}\n"
    return f"{doc}export type {name} = {written(schema)};\n"


def _comment(schema: Schema, indent: str) -> str:
    said = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return f"{indent}/** {said} */\n" if said else ""


def written(schema: Schema, indent: str = "") -> str:
    """A schema as a TypeScript type. What types cannot say (ranges, patterns) is left to the controller."""
    if "$ref" in schema:
        return str(schema["$ref"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_in_union(written(choice, indent)) for choice in schema[key]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(dict.fromkeys(written({**schema, "type": one}, indent) for one in kind))
    if kind == "array":
        return _array(schema, indent)
    if kind == "object":
        return _object(schema, indent)
    return "unknown" if kind is None else PLAIN[kind]


def _in_union(text: str) -> str:
    return f"({text})" if "=>" in text else text


def _array(schema: Schema, indent: str) -> str:
    item = written(schema.get("items", {}), indent)
    count = schema.get("minItems")
    if count == schema.get("maxItems") and count is not None and count <= TUPLE_LONGEST:
        return f"[{', '.join([item] * count)}]"
    return f"({item})[]" if " | " in item and not item.startswith("{") else f"{item}[]"


def _object(schema: Schema, indent: str) -> str:
    properties: dict[str, Any] = schema.get("properties", {})
    if not properties:
        return f"{{ [name: string]: {written(schema.get('additionalProperties') or {}, indent)} }}"
    inner = indent + "  "
    lines = []
    for name, value in properties.items():
        key = name if IDENTIFIER.fullmatch(name) else json.dumps(name)
        optional = "" if name in schema.get("required", ()) else "?"
        lines.append(f"{_comment(value, inner)}{inner}{key}{optional}: {written(value, inner)};\n")
    return "{\n" + "".join(lines) + indent + "}"

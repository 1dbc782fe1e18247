"""AsyncAPI 3 of the Socket.IO events as the controller sees them: it receives two and sends two."""

from __future__ import annotations

from typing import Any

import msgspec

from controller import __version__
from controller.describe.schemas import Schema, event_schemas
from controller.spec import hmi

TEMPLATE = "#/components/schemas/{name}"
CHANNEL = {"$ref": "#/channels/socket"}
TITLES = {
    hmi.RESPONSE: "what the existing page sends", hmi.COMMAND: "typed command of a new client",
    hmi.DATA: "everything the existing page shows", hmi.STATE: "typed state, for those who subscribed",
    "acknowledgement": "answer to `response`, where one is asked for",
    "commandAcknowledgement": "answer to `command`, where one is asked for",
}


def document() -> Schema:
    """The description as an object."""
    schemas, definitions = event_schemas(TEMPLATE)
    messages = {name: {"name": name, "title": TITLES[name], "contentType": "application/json", "payload": schema}
                for name, schema in schemas.items()}
    document: Schema = {
        "asyncapi": "3.0.0",
        "info": {"title": "AllyArm controller", "version": __version__, "license": {"name": "Apache-2.0"},
                 "description": f"Socket.IO 4 (Engine.IO 4), path {hmi.PATH}, namespace /, HMI contract "
                                f"{hmi.CONTRACT_VERSION}. A message's name is the event's; an acknowledgement is the "
                                "Socket.IO acknowledgement of the event it answers. HTTP: /openapi.json."},
        "defaultContentType": "application/json",
        "servers": {"controller": {
            "host": f"127.0.0.1:{hmi.DEFAULT_PORT}", "protocol": "ws", "pathname": hmi.PATH,
            "description": "websocket, or polling over HTTP at the same path",
            "security": [{"$ref": "#/components/securitySchemes/token"}]}},
        "channels": {"socket": {"address": "/", "title": "the default namespace", "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in messages}}},
        "operations": {
            hmi.RESPONSE: _receive(hmi.RESPONSE, "acknowledgement"),
            hmi.COMMAND: _receive(hmi.COMMAND, "commandAcknowledgement"),
            hmi.DATA: _send(hmi.DATA), hmi.STATE: _send(hmi.STATE),
        },
        "components": {"messages": messages, "schemas": definitions, "securitySchemes": {"token": {
            "type": "http", "scheme": "bearer", "description": "Socket.IO `auth: {token}` or a bearer header: the "
            "token of /login or the configured hmi.token; where none is configured, none is needed"}}},
    }
    return _without_discriminators(document)  # type: ignore[no-any-return]


def text() -> str:
    """The document served at /asyncapi.json."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=1).decode()


def _message(name: str) -> Schema:
    return {"$ref": f"#/channels/socket/messages/{name}"}


def _receive(name: str, answer: str) -> Schema:
    return {"action": "receive", "channel": CHANNEL, "title": TITLES[name], "messages": [_message(name)],
            "reply": {"channel": CHANNEL, "messages": [_message(answer)]}}


def _send(name: str) -> Schema:
    return {"action": "send", "channel": CHANNEL, "title": TITLES[name], "messages": [_message(name)]}


def _without_discriminators(node: Any) -> Any:
    """OpenAPI's discriminator objects are no part of AsyncAPI's schemas; each choice has its tag as `enum` anyway."""
    if isinstance(node, dict):
        return {key: _without_discriminators(value) for key, value in node.items()
                if not (key == "discriminator" and isinstance(value, dict) and "propertyName" in value)}
    return [_without_discriminators(value) for value in node] if isinstance(node, list) else node

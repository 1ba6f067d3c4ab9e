"""Answers what it is asked, as a component in Python."""

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from gestalt_guest import App, CallError, Error, Json, Request, Response

app = App("echo", display_name="Echo", description="Answers what it is asked.")


@app.operation(title="Echo", description="Answers its parameters.", read_only=True)
def echo(params: dict, request: Request) -> Json:
    return Json(request.params)


@dataclass
class Fail:
    status: int = 0
    message: str = ""


@app.operation(title="Fail", description="Fails with a status and a message.")
def fail(params: Fail, request: Request) -> None:
    if params.status == 0:
        raise RuntimeError(params.message)
    raise Error(params.status, params.message)


@dataclass
class Slow:
    millis: int


@app.operation(title="Slow", description="Sleeps, then answers.")
def slow(params: Slow, request: Request) -> dict:
    time.sleep(params.millis / 1000)
    return {"slept": params.millis}


@dataclass
class Respond:
    status: int
    headers: dict = field(default_factory=dict)
    body: Any = None


@app.operation(title="Respond", description="Answers as told.")
def respond(params: Respond, request: Request) -> Response:
    return Response(params.status, params.body, params.headers)


@app.operation(title="Crash", description="Ends the instance it runs in.")
def crash(params: dict, request: Request) -> None:
    os._exit(1)


@dataclass
class Call:
    app: str
    operation: str
    params: dict = field(default_factory=dict)


@app.operation(title="Call", description="Calls an operation of an app.")
def call(params: Call, request: Request) -> dict:
    try:
        reply = request.invoke(params.app, params.operation, params.params)
    except CallError as error:
        return {"refused": {"code": error.code, "message": error.message}}
    return {"status": reply.status, "body": json.loads(reply.body)}


AppProvider = app.provider()

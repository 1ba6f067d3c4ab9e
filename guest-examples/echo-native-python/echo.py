"""Answers what it is asked, as a native provider on the published SDK."""

import json
import os
import time
from typing import Any

import gestalt

app = gestalt.App("echo")


@app.operation(title="Echo", description="Answers its parameters.", read_only=True)
def echo(params: dict) -> Any:
    return params


@app.operation(title="Fail", description="Fails with a status and a message.")
def fail(params: dict) -> Any:
    status = int(params.get("status") or 0)
    if status == 0:
        raise RuntimeError(params.get("message", ""))
    raise gestalt.Error(status, params.get("message", ""))


@app.operation(title="Slow", description="Sleeps, then answers.")
def slow(params: dict) -> Any:
    time.sleep(params["millis"] / 1000)
    return {"slept": int(params["millis"])}


@app.operation(title="Respond", description="Answers as told.")
def respond(params: dict) -> Any:
    return gestalt.Response(
        status=int(params["status"]), body=params.get("body"), headers=params.get("headers")
    )


@app.operation(title="Crash", description="Ends the process it runs in.")
def crash() -> Any:
    os._exit(1)


@app.operation(title="Call", description="Calls an operation of an app.")
def call(params: dict, request: gestalt.Request) -> Any:
    try:
        with request.app() as client:
            reply = invoke(client, params)
    except Exception as error:
        return {"refused": refusal(error)}
    body = reply.body.decode() if isinstance(reply.body, bytes) else reply.body
    return {"status": reply.status, "body": json.loads(body)}


def invoke(client: Any, params: dict) -> Any:
    """Sends the call in the way of the SDK at hand: its newer clients take one request object."""
    call = {"operation": params["operation"], "params": params.get("params") or {}}
    try:
        from gestalt.app import AppInvokeRequest
    except ImportError:
        return client.invoke_raw(params["app"], **call)
    return client.invoke_raw(AppInvokeRequest(app=params["app"], **call))


GRPC_CODES = (
    "ok cancelled unknown invalid-argument deadline-exceeded not-found already-exists permission-denied "
    "resource-exhausted failed-precondition aborted out-of-range unimplemented internal unavailable data-loss "
    "unauthenticated"
).split()


def refusal(error: Exception) -> dict:
    """Names the gRPC status of either SDK's error; anything else is no refusal but a bug."""
    code = getattr(error, "code", None)
    if callable(code):
        return {"code": GRPC_CODES[code().value[0]], "message": error.details()}
    if isinstance(code, int):
        return {"code": GRPC_CODES[code], "message": str(error)}
    raise error

"""Write a gestaltd app as a WebAssembly component in Python.

    from dataclasses import dataclass
    from gestalt_guest import App, Error

    app = App("greeter")

    @dataclass
    class Greet:
        name: str

    @app.operation(title="Greet somebody")
    def greet(params: Greet, request):
        if not params.name:
            raise Error(422, "nobody to greet")
        return {"text": f"Hello, {params.name}!"}

    AppProvider = app.provider()

Build it with componentize-py 0.25.1, with this directory on its Python path:

    componentize-py -d wit -w app-component componentize -p . -p wit/python -o app.wasm app

What a handler does decides the answer: a value is 200 and the value as JSON; a `Response` has a status and headers of
its own; `Error(403, "nope")` is 403 {"error": "nope"}; any other exception is 500 {"error": "internal error"} with the
traceback on stderr; parameters that do not fit are 400; an unknown operation is 404.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
import typing
from typing import Any, Callable

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import app_provider as wit
from wit_world.imports import app as wit_app
from wit_world.imports import catalog as wit_catalog
from wit_world.imports import common as wit_common


class Error(Exception):
    """A failure the caller is told about."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class CallError(Exception):
    """Why a call to another app was not made. `code` is spelled as in the contract: `permission-denied`."""

    def __init__(self, error: wit_common.RpcError) -> None:
        super().__init__(error.message)
        kind = type(error.code).__name__.removeprefix("StatusCode_")
        self.code = "".join("-" + c.lower() if c.isupper() else c for c in kind).lstrip("-")
        self.message = error.message


class Json(str):
    """JSON text that goes out as it is."""


@dataclasses.dataclass
class Response:
    """An answer with a status and headers of its own. A header has one value or a list of them."""

    status: int
    body: Any = None
    headers: dict[str, str | list[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Reply:
    """What another app answered."""

    status: int
    body: bytes
    headers: dict[str, list[str]]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Request:
    """One call of one operation."""

    operation: str
    #: The parameters as the caller wrote them: the text of a JSON object.
    params: str
    #: Upstream credential: an access token, or a JSON object a user filled in.
    token: str
    connection_params: dict[str, str]
    invocation_id: str
    idempotency_key: str
    #: The app's name in the configuration, and its `config`.
    app_name: str
    config: dict[str, Any]
    _authority: Any

    def context(self) -> wit_common.ContextInfo:
        """Who calls, for whom and through whom."""
        return self._authority.info()

    def invoke(self, app: str, operation: str, params: Any = None) -> Reply:
        """Calls an operation of another app on the authority of this call.

        A failure of the other app is a reply; `CallError` means that the call was not made.
        """
        request = wit_app.InvokeRequest(app, operation, json.dumps(params or {}), "", "", "", "", None)
        try:
            result = wit_app.invoke(self._authority, request)
        except Err as error:
            raise CallError(error.value) from None
        return Reply(result.status, result.body, dict(result.headers))


class App:
    """An app: its display data and its operations."""

    def __init__(self, name: str, *, display_name: str = "", description: str = "") -> None:
        self.name = name
        self.display_name = display_name
        self.description = description
        self._operations: dict[str, _Operation] = {}
        self._on_start: Callable[[str, dict], None] | None = None

    def on_start(self, hook: Callable[[str, dict], None]) -> Callable[[str, dict], None]:
        """Called once per instance with the app's name and `config`. Raising keeps the app from starting."""
        self._on_start = hook
        return hook

    def operation(self, *, id: str = "", method: str = "POST", title: str = "", description: str = "",
                  read_only: bool = False) -> Callable[[Callable], Callable]:
        """Adds the decorated function, which takes the parameters and a `Request`.

        Parameters annotated as a dataclass are checked and listed in the catalog; otherwise they are a `dict`.
        """

        def register(handler: Callable) -> Callable:
            name = id or handler.__name__
            if name in self._operations:
                raise ValueError(f"operation {name!r} is registered more than once")
            hints = typing.get_type_hints(handler)
            params = next((hint for key, hint in hints.items() if key != "return"), dict)
            self._operations[name] = _Operation(name, method, title, description, read_only, params, handler)
            return handler

        return register

    def provider(self) -> type:
        """The class a component must have under the name `AppProvider`."""
        app, started = self, {"name": self.name, "config": {}}

        class AppProvider(exports.AppProvider):
            def get_metadata(self) -> wit.Metadata:
                catalog = wit_catalog.Catalog(app.name, app.display_name, app.description, "",
                                              [operation.describe() for operation in app._operations.values()])
                return wit.Metadata(app.name, app.display_name, app.description, wit.ConnectionMode.UNSPECIFIED,
                                    [], [], catalog, False)

            def start_provider(self, name: str, config: str | None) -> None:
                started.update(name=name, config=json.loads(config or "{}"))
                try:
                    if app._on_start:
                        app._on_start(name, started["config"])
                except Exception as error:
                    raise _rpc(wit_common.StatusCode_FailedPrecondition(), str(error)) from None

            def execute(self, ctx: Any, req: wit.ExecuteRequest) -> wit_common.OperationResult:
                request = Request(req.operation, req.params or "{}", req.token, dict(req.connection_params),
                                  req.invocation_id, req.idempotency_key, started["name"], started["config"], ctx)
                return _encode(app._call(request))

            def get_session_catalog(self, ctx: Any, req: Any) -> Any:
                raise _rpc(wit_common.StatusCode_Unimplemented(), "not offered by this app")

            def resolve_http_subject(self, ctx: Any, req: Any) -> Any:
                raise _rpc(wit_common.StatusCode_Unimplemented(), "not offered by this app")

        return AppProvider

    def _call(self, request: Request) -> Response:
        try:
            operation = self._operations.get(request.operation)
            if operation is None:
                raise Error(404, "unknown operation")
            answer = operation.handler(_decode(operation.params, request.params), request)
            return answer if isinstance(answer, Response) else Response(200, answer)
        except Error as error:
            return Response(error.status, {"error": error.message})
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return Response(500, {"error": "internal error"})


@dataclasses.dataclass
class _Operation:
    id: str
    method: str
    title: str
    description: str
    read_only: bool
    params: Any
    handler: Callable

    def describe(self) -> wit_catalog.Operation:
        schema = _schema(self.params)
        listed = [
            wit_catalog.Parameter(name, prop.get("type", "object"), "", name in schema.get("required", []), None)
            for name, prop in schema.get("properties", {}).items()
        ]
        hints = wit_catalog.Annotations(True if self.read_only else None, None, None, None)
        return wit_catalog.Operation(self.id, self.method, self.title, self.description, json.dumps(schema), "", hints,
                                     listed, [], [], self.read_only, None, "", [])


_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def _fields(params: Any) -> list[tuple[dataclasses.Field, Any]]:
    hints = typing.get_type_hints(params)
    return [(field, typing.get_origin(hints[field.name]) or hints[field.name]) for field in dataclasses.fields(params)]


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _schema(params: Any) -> dict:
    if not dataclasses.is_dataclass(params):
        return {"type": "object"}
    fields = _fields(params)
    return {
        "type": "object",
        "properties": {f.name: {"type": _JSON_TYPES[kind]} if kind in _JSON_TYPES else {} for f, kind in fields},
        "required": [f.name for f, _ in fields if _required(f)],
    }


def _decode(params: Any, text: str) -> Any:
    values = json.loads(text)
    if not dataclasses.is_dataclass(params):
        return values
    taken = {}
    for field, kind in _fields(params):
        if field.name not in values:
            if _required(field):
                raise Error(400, f"invalid parameters: missing field `{field.name}`")
            continue
        value = values[field.name]
        # A number without a fraction is a number; a boolean is not, though Python says so.
        fits = kind not in _JSON_TYPES or (
            isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
        )
        if not fits:
            raise Error(400, f"invalid parameters: `{field.name}` must be of type {_JSON_TYPES[kind]}")
        taken[field.name] = value
    return params(**taken)


def _encode(response: Response) -> wit_common.OperationResult:
    body = response.body if isinstance(response.body, Json) else json.dumps(response.body, separators=(",", ":"))
    headers = [
        (name, [value] if isinstance(value, str) else list(value)) for name, value in (response.headers or {}).items()
    ]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", ["application/json"]))
    return wit_common.OperationResult(response.status, body.encode(), headers)


def _rpc(code: Any, message: str) -> Err:
    return Err(wit_common.RpcError(code, message))

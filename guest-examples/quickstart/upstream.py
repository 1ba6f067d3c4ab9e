#!/usr/bin/env python3
"""The service behind echo-declarative: the operations of the other echo examples over plain HTTP.

Listens on 127.0.0.1, on port 8081 or the one given; with 0 the system chooses. Prints its address when it is ready.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# More than any caller sends: the daemon's own bound on parameters is smaller.
MAX_BODY = 16 << 20


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, {"method": "GET", "path": self.path})

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            return self.answer(413, {"error": "body too large"})
        body = self.rfile.read(length)
        name = self.path.partition("?")[0]
        if name == "/echo":
            # As it came: 64-bit integers would survive Python, spelling would not.
            return self.send(200, {"Content-Type": ["application/json"]}, body or b"{}")
        operation = {"/fail": self.fail, "/slow": self.slow, "/respond": self.respond, "/crash": self.crash}.get(name)
        if operation is None:
            return self.answer(404, {"error": "unknown operation"})
        try:
            operation(json.loads(body or b"{}"))
        except (KeyError, TypeError, ValueError) as error:
            self.answer(400, {"error": f"invalid parameters: {error}"})

    def fail(self, params):
        status = int(params.get("status") or 0)
        if status == 0:
            return self.answer(500, {"error": "internal error"})
        self.answer(status, {"error": params.get("message", "")})

    def slow(self, params):
        time.sleep(params["millis"] / 1000)
        self.answer(200, {"slept": params["millis"]})

    def respond(self, params):
        body = json.dumps(params.get("body")).encode()
        headers = dict(params.get("headers") or {})
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = ["application/json"]
        self.send(int(params["status"]), headers, body)

    def crash(self, _params):
        self.close_connection = True

    def answer(self, status, body):
        self.send(status, {"Content-Type": ["application/json"]}, json.dumps(body).encode())

    def send(self, status, headers, body):
        self.send_response(status)
        for name, values in headers.items():
            for value in values:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8081
    server = ThreadingHTTPServer(("127.0.0.1", port), Upstream)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass

"""A native provider on the published SDK that tries to get out of where it runs, and says what it got."""

import ctypes
import errno
import json
import os
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import gestalt

app = gestalt.App("hostile")
libc = ctypes.CDLL(None, use_errno=True)

# Linux on x86-64 and on everything newer agree on these but for the ones that say so.
IS_X86 = os.uname().machine == "x86_64"
CALLS = {
    "io_uring_setup": 425,
    "ptrace": 101 if IS_X86 else 117,
    "process_vm_readv": 310 if IS_X86 else 270,
    "pidfd_getfd": 438,
    "bpf": 321 if IS_X86 else 280,
    "perf_event_open": 298 if IS_X86 else 241,
    "userfaultfd": 323 if IS_X86 else 282,
    "keyctl": 250 if IS_X86 else 219,
    "mount": 165 if IS_X86 else 40,
    "umount2": 166 if IS_X86 else 39,
    "unshare": 272 if IS_X86 else 97,
    "setns": 308 if IS_X86 else 268,
    "pivot_root": 155 if IS_X86 else 41,
    "chroot": 161 if IS_X86 else 51,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "clone3": 435,
    "clone": 56 if IS_X86 else 220,
}


@app.operation(id="attempt", title="Attempt", description="Tries one thing.")
def attempt(params: dict):
    try:
        return {"done": ACTS[params["act"]](whole(params))}
    except OSError as error:
        number = error.errno if isinstance(error.errno, int) else None
        known = errno.errorcode.get(number) if not isinstance(error, (socket.gaierror, ssl.SSLError)) else None
        return {"error": known or type(error).__name__, "text": str(error)}
    except MemoryError:
        return {"error": "MemoryError"}


def whole(value):
    """Numbers as they were meant: on the way they have become floating point."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def connect(params: dict):
    family = socket.AF_INET6 if ":" in params["host"] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as stream:
        stream.settimeout(5)
        stream.connect((params["host"], params["port"]))
        return "connected"


def fast_open(params: dict):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        return stream.sendto(b"secret", socket.MSG_FASTOPEN, (params["host"], params["port"]))


def make_socket(params: dict):
    with socket.socket(params["family"], params["type"], params.get("protocol", 0)):
        return "made"


def unix(params: dict):
    address = params["path"] if "path" in params else "\0" + params["abstract"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(address)
        return "connected"


def look_up(params: dict):
    return [entry[4][0] for entry in socket.getaddrinfo(params["name"], 443)]


def fetch(params: dict):
    """As ordinary code does, which knows of the proxy what the environment says."""
    handlers = [] if params.get("proxied", True) else [urllib.request.ProxyHandler({})]
    handlers.append(urllib.request.HTTPSHandler(context=trusting()))
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(params["url"], timeout=20) as answer:
            return {"status": answer.status, "body": answer.read().decode()}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode()}


def trusting():
    return ssl.create_default_context(cafile=os.path.join(os.path.dirname(__file__), "ca.pem"))


def proxy_address():
    host, port = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
    return host, int(port)


def ask(request: str):
    """One request to the proxy, byte for byte as given. A connection, and the answer's status."""
    stream = socket.create_connection(proxy_address(), timeout=20)
    stream.sendall(request.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(4096)
        if not piece:
            break
        head += piece
    return stream, int(head.split(b" ")[1]), head.split(b"\r\n\r\n", 1)[-1].decode()


def plain(params: dict):
    """A request as given, with these fields; with a body in chunks and trailers if there is one."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in params.get("headers", []))
    body = params.get("chunked", "")
    fields += "Transfer-Encoding: chunked\r\n" if body else ""
    method = params.get("method", "GET")
    stream, status, _ = ask(f"{method} {params['uri']} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n{body}")
    stream.close()
    return status


def tunnel(params: dict):
    target = params["target"]
    stream, status, text = ask(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
    with stream:
        if status != 200 or "name" not in params:
            return {"status": status, "text": text.strip()}
        context = trusting()
        context.check_hostname = params["name"] is not None
        with context.wrap_socket(stream, server_hostname=params["name"]) as secure:
            secure.sendall(b"GET /in HTTP/1.1\r\nHost: anybody\r\nConnection: close\r\n\r\n")
            return {"status": status, "head": secure.recv(4096).decode().split("\r\n")[0]}


def call(params: dict):
    ctypes.set_errno(0)
    arguments = [ctypes.c_long(argument) for argument in params.get("arguments", [0, 0, 0, 0, 0, 0])]
    result = libc.syscall(ctypes.c_long(CALLS[params["name"]]), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def read(params: dict):
    with open(params["path"], "rb") as file:
        return len(file.read(1 << 20))


def listing(params: dict):
    return sorted(os.listdir(params["path"]))


def write(params: dict):
    with open(params["path"], "wb") as file:
        for _ in range(params.get("megabytes", 1)):
            file.write(b"x" * (1 << 20))
    return "written"


def send_signal(params: dict):
    os.kill(params["pid"], params["signal"])
    return "sent"


BOMB = """
import errno, json, os, signal
children = []
try:
    while True:
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError as error:
    print(json.dumps({"forked": len(children), "error": errno.errorcode[error.errno]}))
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def fork_bomb(_: dict):
    """Children that wait, as many as there may be; of a process apart, since threads and forks do not mix."""
    done = subprocess.run([sys.executable, "-c", BOMB], capture_output=True, check=False, text=True)
    return json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def memory(params: dict):
    return len(bytearray(params["gibibytes"] << 30))


def files(_: dict):
    opened = []
    try:
        while True:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return {"opened": len(opened), "error": errno.errorcode[error.errno]}
    finally:
        for descriptor in opened:
            os.close(descriptor)


def variables(_: dict):
    return dict(os.environ)


def own(_: dict):
    return {"pid": os.getpid(), "parent": os.getppid(), "interfaces": interfaces(), "root": sorted(os.listdir("/"))}


def interfaces():
    with open("/proc/net/dev") as table:
        return [line.split(":")[0].strip() for line in table.readlines()[2:]]


ACTS = {
    "connect": connect,
    "fast_open": fast_open,
    "socket": make_socket,
    "unix": unix,
    "look_up": look_up,
    "fetch": fetch,
    "plain": plain,
    "tunnel": tunnel,
    "call": call,
    "read": read,
    "list": listing,
    "write": write,
    "signal": send_signal,
    "fork_bomb": fork_bomb,
    "memory": memory,
    "files": files,
    "variables": variables,
    "own": own,
}

"""Requests of a browser → the page, or a refusal. The rule: a page answers this machine only, and only what it needs.

A name of an attacker that resolves to 127.0.0.1 (DNS rebinding) arrives with its own Host header, and a foreign page
with its own Origin. The content policy keeps the browser from asking any other machine for fonts or scripts.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20
PAGES = ("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/startup-events")
FOLDERS = ("/assets/", "/static/", "/svelte/", "/gradio_api/queue/", "/gradio_api/heartbeat/")
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:;"
    " object-src 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


def refusal(method: str, path: str, headers: dict[str, str], port: int) -> tuple[int, str] | None:
    """Return the status and the line with which a request is refused, or None.

    `headers` have lower-case names.
    """
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
    if headers.get("host") not in hosts:
        return 421, "this page answers on 127.0.0.1 only"
    if headers.get("origin") not in {None, *(f"http://{host}" for host in hosts)}:
        return 403, "requests of other pages are refused"
    if (path not in PAGES and not path.startswith(FOLDERS)) or ".." in path:
        return 404, "no such page"
    if method not in ("GET", "HEAD", "POST"):
        return 405, "expected GET or POST"
    length = headers.get("content-length", "0" if method != "POST" else "")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdecimal()):
        return 411, "expected a Content-Length"
    if len(length) > 9 or int(length) > MAX_BODY:
        return 413, f"expected at most {MAX_BODY:,} bytes"
    return None


def guard(application: Application, port: int) -> Application:
    """Put `refusal` before an application, and the content policy on its answers."""

    async def guarded(scope: Message, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in _HEADERS]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        if scope["type"] == "lifespan":
            await application(scope, receive, send)
        elif scope["type"] == "http":
            pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
            problem = refusal(scope["method"], scope["path"], dict(pairs), port)
            if [name for name, _ in pairs].count("host") > 1:
                problem = 400, "expected one Host"
            if problem is None:
                await application(scope, receive, send_with_policy)
                return
            status, line = problem
            start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
            await send_with_policy(start)
            await send({"type": "http.response.body", "body": f"{line}\n".encode()})

    return guarded

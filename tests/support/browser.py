"""Headless Chromium, driven by its DevTools protocol over aiohttp, which the tests need anyway."""

import asyncio
import base64
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
)
WIDE, PHONE = (1280, 900), (390, 844)
# Waiting is bounded by this alone; a page that answers earlier is not waited for.
TIMEOUT = 60.0


def chromium() -> str | None:
    """The path of Chromium, if this machine has it."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One tab. `requests` are the addresses that it asked for, `errors` the uncaught errors of scripts."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = folder
        self._number = 0
        self.requests: list[str] = []
        self.errors: list[str] = []

    def __enter__(self) -> Self:
        program = chromium()
        assert program
        arguments = [program, *FLAGS, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        address = next(line.split()[-1] for line in self._process.stderr if line.startswith("DevTools listening"))
        self._loop.run_until_complete(self._connect(address))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()

    async def _connect(self, address: str) -> None:
        self._session = aiohttp.ClientSession()
        pages = address.replace("ws://", "http://").partition("/devtools")[0] + "/json"
        async with self._session.get(pages) as answer:
            page = next(row for row in await answer.json() if row["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        for domain in ("Network", "Runtime", "Page"):
            await self._ask(f"{domain}.enable")

    async def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=TIMEOUT)
            if message.get("method") == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            elif message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"]))
            elif message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        return self._loop.run_until_complete(self._ask(method, **parameters))

    def open(self, address: str, size: tuple[int, int], *, dark: bool = False) -> None:
        """Open a page on a screen of this size."""
        width, height = size
        phone = size == PHONE
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        result = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        script = f"""new Promise((done, fail) => {{
            const end = Date.now() + {1000 * TIMEOUT / 2};
            const look = () => {{
                let value = false;
                try {{ value = {condition}; }} catch (_) {{ }}
                if (value) done(true);
                else if (Date.now() > end) done(false);
                else requestAnimationFrame(look);
            }};
            look();
        }})"""
        assert self.run(script), f"never true: {condition}\n{self.run('document.body.innerText')}"

    def screenshot(self, path: Path) -> None:
        """Write what the screen shows as PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

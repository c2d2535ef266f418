"""The page on 127.0.0.1, until Ctrl-C. The rule: nothing stays on the disk, and nothing is sent to other machines."""

import gc
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anaume.errors import UserError

if TYPE_CHECKING:
    from anaume.play.models import Served

ADDRESS = "127.0.0.1"
# Fonts of the system, Japanese ones among them: a theme's own would come from Google.
FONTS = ("system-ui", "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans JP", "Yu Gothic UI", "sans-serif")


def reserve(port: int) -> socket.socket:
    """Bind a port of 127.0.0.1; 0 takes any free one.

    Raises:
        UserError: the port is in use or may not be taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(f"--port {port}: {error.strerror}; expected a free port, or 0 for any") from error
    return listener


def play(models: Sequence[str], listener: socket.socket) -> None:
    """Open the models and serve their page on a reserved port.

    Raises:
        UserError: a model can't be opened.
    """
    with tempfile.TemporaryDirectory(prefix="anaume-play-") as folder:
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        from anaume.play.models import open_models

        server = make_server(open_models(models, Path(folder)), listener.getsockname()[1])
        print(f"http://{ADDRESS}:{listener.getsockname()[1]}/  (Ctrl-C ends it)", file=sys.stderr, flush=True)
        try:
            server.run(sockets=[listener])
        finally:
            gc.freeze()  # or else the interpreter walks through all of torch and gradio once more before it ends


def make_server(served: "Served", port: int) -> Any:
    """Return the uvicorn server of the page, which answers requests to this port only."""
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from anaume.play.draw import STYLE
    from anaume.play.guard import guard
    from anaume.play.page import make_page

    application = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        make_page(served),
        path="",
        server_name=ADDRESS,
        server_port=port,
        footer_links=[],
        show_error=False,
        max_file_size=0,
        ssr_mode=False,
        theme=gr.themes.Default(primary_hue="teal", font=FONTS, font_mono=("ui-monospace", "monospace")),
        css=STYLE,
    )
    return uvicorn.Server(uvicorn.Config(guard(application, port), log_level="critical", timeout_graceful_shutdown=1))

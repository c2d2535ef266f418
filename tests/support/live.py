"""The page of `anaume play` in this process: a thread serves it on a free port."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from anaume.play.models import Served
from anaume.play.server import make_server, reserve


@contextmanager
def live(served: Served) -> Iterator[str]:
    """Serve a page; the value is its address, without a slash at the end."""
    with reserve(0) as listener:
        port = listener.getsockname()[1]
        server = make_server(served, port)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}"  # the listener keeps a request that comes before the server is ready
        finally:
            server.should_exit = True
            thread.join()
    gc.collect()  # what is left open shows in the test that opened it

"""Worker processes end with the process that started them; otherwise those of a killed parent would wait forever."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this process as soon as its parent ends, even by a kill. A process without a parent is left alone."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        assert parent
        parent.join()
        os._exit(1)  # a normal exit would wait for queues that no process reads any more

    if parent:
        threading.Thread(target=watch, daemon=True).start()

"""No process outlives the one that made it: a worker whose parent was killed would wait for ever."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """From now on, end this process when its parent has gone, however it went; nothing to do where it has none."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        assert parent
        parent.join()
        os._exit(1)  # a usual exit would wait for queues that nobody reads any more

    if parent:
        threading.Thread(target=watch, daemon=True).start()

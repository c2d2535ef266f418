"""Whether code that comes with a model may run: not, unless the option `--trust-remote-code` is given."""

import os

# An environment variable, so that the processes of a grid know it too.
VARIABLE = "ANAUME_TRUST_REMOTE_CODE"


def allow_remote_code() -> None:
    """Let the models that this process and its children open run their own code."""
    os.environ[VARIABLE] = "1"


def remote_code_allowed() -> bool:
    """Whether `allow_remote_code` was called here or in a parent."""
    return os.environ.get(VARIABLE) == "1"

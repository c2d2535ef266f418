"""The name of a repository on the Hugging Face Hub → why it can't be read, asked once.

The libraries that download try again for up to half a minute where nobody answers. The rule: a repository of which
nothing is in the cache is asked for here first, with one short request.
"""

from pathlib import Path
from typing import Literal

# Seconds to wait for an answer; long enough for two lost packets of a connection that is being made.
TIMEOUT = 5.0


def problem(name: str, kind: Literal["model", "dataset"] = "model") -> str:
    """Say why the repository `name` can't be read, or return "" if it can or if it is in the cache.

    huggingface_hub is imported here, and neither torch nor transformers.
    """
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE, f"{kind}s--{name.replace('/', '--')}", "snapshots")
    if snapshots.is_dir() and any(snapshots.iterdir()):
        return ""
    if constants.HF_HUB_OFFLINE:
        return "the Hub is switched off by HF_HUB_OFFLINE, and its cache does not hold it"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        # Mirrors of the Hub, such as olah, answer only where the request names a revision.
        HfApi().repo_info(name, revision="main", repo_type=kind, timeout=TIMEOUT, expand="sha")
    except RepositoryNotFoundError:
        return f"the Hub has no such {kind}, or none that you may read"
    except Exception as error:  # httpx's and the Hub's errors have no common class
        return f"not available on the Hub ({_first_sentence(error)})"
    return ""


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).split(". ")[0][:300].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

"""Whether two folders hold the same results: checkpoints, exports, metrics and records, byte for byte but for times.

    python benchmarks/identical.py RUN_OF_ONE_VERSION RUN_OF_ANOTHER

A refactoring must not change a number. Both folders are made by the same commands with two versions of the code. JSON
and TOML are compared by content without the keys of `TIMES`, everything else by its bytes. Reports are left out, as
they draw times; `anaume report` on one folder with both versions compares them. Exit status 1 if anything differs.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

# Keys that hold a time, a speed, or a hash of the text of a recipe.
TIMES = {
    "created",
    "recipe_hash",
    "checksum",
    "seconds",
    "tokens_per_second",
    "encoded_tokens",
    "mfu",
    "when",
}


def content(path: Path) -> Any:
    """Return what a file says, without times; for a file that is neither JSON nor TOML its bytes."""
    if path.suffix == ".toml":
        return tomllib.loads(path.read_text(encoding="utf-8"))
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    text = path.read_text(encoding="utf-8")
    try:
        return without_times(json.loads(text))
    except json.JSONDecodeError:  # one value per line, as JGLUE's files have it
        return [without_times(json.loads(line)) for line in text.splitlines()]


def without_times(value: Any) -> Any:
    """Leave out the keys of `TIMES` at every depth."""
    if isinstance(value, dict):
        return {key: without_times(child) for key, child in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [without_times(child) for child in value]
    return value


def files(folder: Path) -> set[str]:
    """Return the files below a folder that hold results."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in paths if "report" not in path.parts and path.name != ".lock"}


def main() -> int:
    """Compare two folders and print what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args()
    first, second = files(options.first), files(options.second)
    differences = [f"only in {options.first}: {name}" for name in sorted(first - second)]
    differences += [f"only in {options.second}: {name}" for name in sorted(second - first)]
    shared = sorted(first & second)
    differences += [
        f"differs: {name}" for name in shared if content(options.first / name) != content(options.second / name)
    ]
    print(*differences, f"{len(shared)} files in both, {len(differences)} differences", sep="\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())

"""The licence of published weights."""

import re

from anaume.errors import UserError


def check_license(license: str) -> None:
    """Check that a licence can be an identifier of the Hub, whose list grows and is part of no library. May be empty.

    Raises:
        UserError: it can't be one.
    """
    if license and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license):
        raise UserError(
            f"--license: {license!r:.60}: no identifier; expected one of https://huggingface.co/docs/hub/"
            "repositories-licenses, such as apache-2.0, cc-by-sa-4.0 or other"
        )

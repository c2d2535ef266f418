"""The error for a mistake of the user."""


class UserError(Exception):
    """A mistake of the user, as one line of the form "PLACE: VALUE: WHY; expected …".

    The command line prints the line to standard error and exits with status 2. Nothing has been overwritten.
    """

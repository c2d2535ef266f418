"""What a user's mistake becomes."""


class UserError(Exception):
    """A mistake of the user's, as one line naming the place, the value and what is accepted.

    The command line prints it to standard error and exits with status 2; nothing has been written over.
    """

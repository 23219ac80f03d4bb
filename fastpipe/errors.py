"""The one exception a user is meant to read."""


class UserError(Exception):
    """A mistake or a condition the user can mend.

    The message says what was wrong, where (file, key, value) and what to do. The command line
    prints it without a traceback and exits with status 1.
    """

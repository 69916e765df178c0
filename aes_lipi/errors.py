"""The one exception that a user's mistake becomes."""


class UserError(Exception):
    """A mistake of the user's: one line that says what is wrong, where, and the remedy.

    The command line prints it and exits with code 2.
    """

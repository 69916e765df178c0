"""The one exception that a user's mistake becomes."""


class UserError(Exception):
    """A mistake of the user's: one line that says what is wrong, where, and the remedy.

    The command line prints it and exits with code 2.

    Args:
        message: the line; what would break or colour it, such as a line break in the name of a
            file, becomes a question mark.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else "?" for each in message))

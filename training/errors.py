"""The one error that a user sees as a sentence."""


class UserError(Exception):
    """Something that the user can mend: the message names the value and the way out. main.py exits with 2."""

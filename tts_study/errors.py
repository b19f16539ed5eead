"""The one error that is the user's to fix."""


class UserError(Exception):
    """Bad input, told in one sentence: what, where, and what to do. The command line exits with code 2 on it."""

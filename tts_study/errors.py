"""The errors that are the user's to fix."""


class UserError(Exception):
    """Bad input, told in one sentence: what, where, and what to do. The command line exits with code 2 on it."""


class EngineLost(UserError):
    """An engine died, or the worker that held it: another one may well succeed at the same."""

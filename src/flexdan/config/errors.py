"""The one exception for a user's mistake."""


class UserError(ValueError):
    """A mistake that the user can mend.

    The message names the setting or file, its value, what is allowed and what to do. The command line prints it
    without a traceback and exits with code 2.
    """

"""What goes wrong in ways that the command line explains without a traceback."""


class UserError(ValueError):
    """A mistake that the user can mend.

    The message names the setting or file, its value, what is allowed and what to do. The command line prints it
    without a traceback and exits with code 2.
    """


class CannotResumeError(UserError):
    """A training cannot go on from its checkpoint as if it had not been stopped."""


class RunError(RuntimeError):
    """A failure that is no mistake of the user, such as memory that runs out; exit code 1."""

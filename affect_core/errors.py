"""The one exception that a user is meant to read."""


class AffectError(ValueError):
    """Something the user can put right: a file, a label, a setting. The message is one or more plain sentences."""

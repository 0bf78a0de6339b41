"""What can go wrong in an evaluation."""


class EvaluationError(ValueError):
    """A request that cannot be met; the message is one line for the user."""

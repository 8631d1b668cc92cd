"""What can be wrong with an answer that came with status 200: errors that those who read it raise, and those who ask
tell apart."""

from __future__ import annotations


class BadResponseError(Exception):
    """The body is not what the specification promises; asking again may help."""


class UnanswerableError(Exception):
    """The server answered, but asking again would give no answer either. `kind` is for the record."""

    kind: str = "Unanswerable"


class FilteredError(UnanswerableError):
    """The server withheld the answer."""

    kind = "ContentFilter"


class NoLogprobsError(UnanswerableError):
    """The server gives no log-probabilities though they were asked for."""

    kind = "NoLogprobs"


class RefusedError(UnanswerableError):
    """The server refused the request after it had begun to answer."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)

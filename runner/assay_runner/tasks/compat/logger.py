"""`loguru.logger` as task code uses it, on the logger `assay.task`."""

from __future__ import annotations

import logging
from typing import Any

_LOG = logging.getLogger("assay.task")


class Logger:
    """Takes loguru's calls; messages are formatted with braces."""

    def debug(self, message: object, *values: Any, **named: Any) -> None:
        """As loguru's."""
        self._log(logging.DEBUG, message, values, named)

    def info(self, message: object, *values: Any, **named: Any) -> None:
        """As loguru's."""
        self._log(logging.INFO, message, values, named)

    def warning(self, message: object, *values: Any, **named: Any) -> None:
        """As loguru's."""
        self._log(logging.WARNING, message, values, named)

    def error(self, message: object, *values: Any, **named: Any) -> None:
        """As loguru's."""
        self._log(logging.ERROR, message, values, named)

    trace, success, critical, exception = debug, info, error, error

    def opt(self, **options: Any) -> Logger:
        """As loguru's; options have no effect."""
        return self

    bind = opt

    def _log(self, level: int, message: object, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        text = str(message)
        if values or named:
            try:
                text = text.format(*values, **named)
            except (IndexError, KeyError, ValueError):
                text = f"{text} {values} {named}"
        _LOG.log(level, "%s", text)


logger = Logger()
eval_logger = logger

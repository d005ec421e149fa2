"""Logging of every process: for people on a terminal, JSON lines otherwise; secrets are masked."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from streams.masking import mask_secrets

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CHATTY = ("aiokafka", "faust", "mode", "streams.transport")  # services that report every step of theirs
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m", "DEBUG": "\x1b[2m"}


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller gave as ``extra=``.

    >>> extra_fields(logging.makeLogRecord({"msg": "flushed", "rows": 12}))
    {'rows': 12}
    """
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _masked_text(value: object) -> str:
    return mask_secrets(str(value))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``at``, ``level``, ``logger``, ``message``, what ``extra=`` gave, ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            **extra_fields(record),
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        masked = {name: mask_secrets(v) if isinstance(v, str) else v for name, v in line.items()}
        return orjson.dumps(masked, default=_masked_text, option=orjson.OPT_NON_STR_KEYS).decode()


class HumanFormatter(logging.Formatter):
    """``12:00:01 WARNING streams.transport: message key=value``, coloured by level where asked."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in extra_fields(record).items())
        text = f"{clock} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        start = _COLOURS.get(record.levelname, "") if self._colour else ""
        return mask_secrets(f"{start}{text}\x1b[0m" if start else text)


def set_up_logging(log_format: str = "auto", level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logging to ``stream`` (standard error) in ``log_format``: auto, human or json.

    ``auto`` is human on a terminal and JSON lines otherwise. Handlers set up before are replaced.
    """
    target = sys.stderr if stream is None else stream
    on_terminal = target.isatty()
    handler = logging.StreamHandler(target)
    if log_format == "human" or (log_format == "auto" and on_terminal):
        handler.setFormatter(HumanFormatter(colour=on_terminal))
    else:
        handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel("DEBUG" if level == "DEBUG" else "WARNING")

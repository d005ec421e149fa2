"""Says what every setting is, where it came from, and documents all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pydantic import SecretStr
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from streams.masking import mask_secrets
from streams.settings import Settings, stack_addresses

PREFIX = "STREAMGAUGE_"
NOT_SETTINGS = frozenset(
    {
        "STREAMGAUGE_DATA",
        "STREAMGAUGE_FAILPOINT",
        "STREAMGAUGE_PYTHON",
        "STREAMGAUGE_STACK",
        "STREAMGAUGE_STATE_DIR",
    }
)

PAGE = """# Configuration

<!-- Made by `streamgauge config document` from streams/settings.py; a test keeps it current. -->

A value comes from, in this order:

1. the environment variable named below,
2. `streamgauge.toml` in the working directory, where a key is the name in lower case without the prefix
   (`kafka = "broker:9092"`),
3. the local stack, while `streamgauge stack up` has left its addresses in the checkout's `.streamgauge/`,
4. the default.

`streamgauge config show` prints each value and where it came from; passwords are masked there and in logs.
Where `STREAMGAUGE_DATABASE_URL` points elsewhere, the local stack's writer and reader are not used either.
`STREAMGAUGE_STATE_DIR` (default: `.streamgauge` in the checkout) is where the local stack and the host
collector keep their state. `STREAMGAUGE_STACK` (`native`, `docker` or `auto`, the default) is how the local
stack runs. `STREAMGAUGE_PYTHON` is the Python that `make` builds `.venv` with. `STREAMGAUGE_FAILPOINT` makes
a worker fail at a named point, for tests ([streams/failpoints.py](../streams/failpoints.py)).

| variable | default | meaning |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its value and default as text with secrets masked, and where the value came from."""

    name: str
    variable: str
    value: str
    default: str
    origin: str
    meaning: str


def _text(value: object) -> str:
    if value is None:
        return ""
    return mask_secrets(value.get_secret_value() if isinstance(value, SecretStr) else str(value))


def describe(settings: Settings) -> list[Setting]:
    """Return all settings with where their values came from."""
    environment = EnvSettingsSource(Settings)()
    file = TomlConfigSettingsSource(Settings)()
    stack = stack_addresses({**file, **environment})
    sources = {"environment": environment, "streamgauge.toml": file, "local stack": stack}
    return [
        Setting(
            name=name,
            variable=PREFIX + name.upper(),
            value=_text(getattr(settings, name)),
            default=_text(field.default),
            origin=next((origin for origin, given in sources.items() if name in given), "default"),
            meaning=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def unknown_variables() -> list[str]:
    """Return the environment variables that look like settings and are none: misspelt, most likely."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | NOT_SETTINGS
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def document() -> str:
    """Return the page ``docs/configuration.md``."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {f'`{_text(field.default)}`' if field.default is not None else ''}"
        f" | {(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in Settings.model_fields.items()
    ]
    return PAGE + "\n".join(rows) + "\n"

"""TimescaleDB and Redis as Debian 13 packages them, in a root file system of their own.

The packages are extracted, not installed: nothing on the machine changes, no maintainer script
runs, no privilege is needed, and the tree belongs to the user who made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.stack.cache import built_once
from infra.stack.commands import output_of, require, run
from infra.stack.errors import StackError
from infra.stack.jail import SERVICE_ID
from infra.stack.service import Say

SUITE = "trixie"
PACKAGES = ("base-files", "dash", "libc-bin", "postgresql-17", "postgresql-17-timescaledb", "redis-server")
NEVER_READ = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*")
POSTGRES_BIN = "/usr/lib/postgresql/17/bin"
MACHINE_OPTIONS = ("http", "https", "Check-Valid-Until", "Check-Date", "Retries")


@dataclass(frozen=True)
class Repository:
    """One place that packages come from, and one release in it."""

    uri: str
    suite: str


def machine_repositories() -> list[Repository]:
    """Return the repositories of Debian's packages that this machine is set up with."""
    listing = output_of(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    )
    rows = (line.split() for line in listing.splitlines())
    return [Repository(row[0], row[1]) for row in rows if len(row) == 3 and row[2] == "main"]


def repositories_of(suite: str, machine: list[Repository], codename: str) -> list[Repository]:
    """Return where ``suite`` is found, given where the machine finds its own release ``codename``.

    >>> machine = [Repository("http://mirror/debian/", "bookworm-updates")]
    >>> repositories_of("trixie", machine, "bookworm")
    [Repository(uri='http://mirror/debian/', suite='trixie-updates')]
    """
    own = {codename, "stable", "oldstable", suite}
    found = []
    for repository in machine:
        release, dash, pocket = repository.suite.partition("-")
        if release in own and pocket in {"", "updates", "security"}:
            found.append(Repository(repository.uri, suite + dash + pocket))
    return list(dict.fromkeys(found))


def root_file_system(say: Say, log: Path) -> Path:
    """Return the root file system, made when it is missing (half a minute and 400 MB)."""

    def build(draft: Path) -> None:
        say(f"extracting it from Debian's packages ({SUITE}), once (100 MB)")
        _extract(draft, log)

    return built_once(f"debian-{SUITE}", build) / "root"


def _extract(draft: Path, log: Path) -> None:
    sources = repositories_of(SUITE, machine_repositories(), _codename())
    if not any(repository.suite == SUITE for repository in sources):
        raise StackError(
            "this machine's apt knows no mirror of Debian, which TimescaleDB would come from",
            hint="Start a container engine, or set STREAMGAUGE_DATABASE_URL and STREAMGAUGE_REDIS_URL "
            "to services that you have.",
        )
    root = draft / "root"
    run(
        [
            require("mmdebstrap", "mmdebstrap"),
            "--variant=extract",
            "--mode=chrootless",
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude={path}" for path in NEVER_READ),
            *(f"--aptopt={option}" for option in _machine_options()),
            SUITE,
            str(root),
            *(f"deb {repository.uri} {repository.suite} main" for repository in sources),
        ],
        log,
        cwd=draft,
    )
    for mount_point in ("dev", "proc", "srv"):
        (root / mount_point).mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(f"streamgauge:x:{SERVICE_ID}:{SERVICE_ID}::/srv:/bin/sh\n")


def _machine_options() -> list[str]:
    names = [f"Acquire::{name}" for name in MACHINE_OPTIONS]
    dump = output_of(["apt-config", "dump", *names])
    return [line.rstrip(";") for line in dump.splitlines() if not line.endswith('"";')]


def _codename() -> str:
    release = Path("/etc/os-release").read_text()
    pairs = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    return pairs.get("VERSION_CODENAME", "").strip('"')

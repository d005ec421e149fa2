"""Compiles the native kernel when the project is installed; where that fails, all works without it.

Hatch calls the hook for a wheel and for an editable installation. ``python hatch_build.py`` compiles alone.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("streams/core/wire/kernel")
LIBRARY = FOLDER / "json.so"
# No -march: a wheel may run on another processor than it was built on.
FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-ffp-contract=off")


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the kernel into what is installed, where a compiler is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and mark the wheel as one for this platform."""
        failure = compile_kernel(Path(self.root))
        if failure:
            self.app.display_warning(f"JSON will be read in Python: {failure}")
            return
        build_data["artifacts"].append(str(LIBRARY))
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def compile_kernel(root: Path) -> str:
    """Compile the kernel into its folder; return why that could not be done, or an empty text.

    A library that is in use is replaced, never overwritten.
    """
    try:
        done = _compile(root)
    except (OSError, ValueError) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"the compiler ended with {done.returncode}"


def _compile(root: Path) -> subprocess.CompletedProcess[str]:
    folder = root / FOLDER
    source = b"".join(path.read_bytes() for path in sorted(folder.glob("*.[ch]")))
    compiler = shlex.split(os.environ.get("CC") or "cc")
    defined = f"-DSOURCE_CHECKSUM={zlib.crc32(source)}u"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = Path(scratch) / LIBRARY.name
        command = [*compiler, *FLAGS, defined, "-o", str(built), str(folder / "json.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            built.replace(root / LIBRARY)
    return done


if __name__ == "__main__":
    raise SystemExit(compile_kernel(Path(__file__).parent) or 0)

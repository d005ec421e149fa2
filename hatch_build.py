"""Compiles the native kernels when the project is installed; where that fails, all works without them.

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

SOURCES = (Path("streams/core/wire/kernel/json.c"), Path("streams/core/detect/kernel/lookout.c"))
# No -march: a wheel may run on another processor than it was built on. And nothing that changes results.
FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-ffp-contract=off")


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the kernel into what is installed, where a compiler is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, and mark the wheel as one for this platform."""
        failure = compile_kernels(Path(self.root))
        if failure:
            self.app.display_warning(f"All that is native will be done in Python: {failure}")
            return
        build_data["artifacts"].extend(str(source.with_suffix(".so")) for source in SOURCES)
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def compile_kernels(root: Path) -> str:
    """Compile each kernel into its folder; return why that could not be done, or an empty text.

    A library that is in use is replaced, never overwritten.
    """
    for source in SOURCES:
        try:
            done = _compile(root / source)
        except (OSError, ValueError) as error:
            return str(error)
        if done.returncode:
            return done.stderr.strip() or f"the compiler ended with {done.returncode}"
    return ""


def _compile(source: Path) -> subprocess.CompletedProcess[str]:
    files = b"".join(path.read_bytes() for path in sorted(source.parent.glob("*.[ch]")))
    compiler = shlex.split(os.environ.get("CC") or "cc")
    library = source.with_suffix(".so")
    defined = f"-DSOURCE_CHECKSUM={zlib.crc32(files)}u"
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        built = Path(scratch) / library.name
        command = [*compiler, *FLAGS, defined, "-o", str(built), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            built.replace(library)
    return done


if __name__ == "__main__":
    raise SystemExit(compile_kernels(Path(__file__).parent) or 0)

"""Builds the two compiled modules: the real-time core and the simulated base board.

The core links Ruckig statically: its wheel carries headers and libruckig.a, so it is needed to build, not to run.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
DIRECTIVES = {  # tests/unit/test_generated_c.py looks at the C that Cython makes under these
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "nonecheck": False,
    "overflowcheck": False,
    "embedsignature": True,
}


def ruckig_paths() -> tuple[str, str]:
    """(include folder, static library) of the installed ruckig; exits with what to do when there is none.

    $ALLYARM_RUCKIG is a folder with include/ and lib/libruckig.a for another architecture (packaging/wheels.py).
    """
    if given := os.environ.get("ALLYARM_RUCKIG"):
        return f"{given}/include", f"{given}/lib/libruckig.a"
    spec = importlib.util.find_spec("ruckig")
    if spec is None or spec.origin is None:
        raise SystemExit("ruckig is needed to build the core: python -m pip install 'ruckig>=0.15'")
    root = Path(spec.origin).parent
    for site in (root, root.parent):
        for lib in ("lib64", "lib"):
            archive = site / lib / "libruckig.a"
            header = site / "include" / "ruckig" / "ruckig.hpp"
            if archive.is_file() and header.is_file():
                return str(site / "include"), str(archive)
    raise SystemExit(f"the ruckig in {root} carries no libruckig.a and headers: install ruckig>=0.15 from PyPI")


def extensions() -> list[Extension]:
    from Cython.Build import cythonize

    from controller.spec.emit import write_generated

    write_generated(HERE / "ext" / "generated")
    include, archive = ruckig_paths()
    # No fused multiply-add: arm64 computes bit by bit what was tested on amd64.
    flags = ["-std=c++20", "-O3", "-fno-math-errno", "-ffp-contract=off", "-fvisibility=hidden", "-Wall",
             "-Wno-unused-function"]
    if sanitize := os.environ.get("ALLYARM_SANITIZE"):
        flags += [f"-fsanitize={sanitize}", "-g"]
    headers = [str(p.relative_to(HERE)) for p in sorted((HERE / "ext").rglob("*")) if p.suffix in
               {".hpp", ".pxi", ".pxd"} or p.name.endswith(".pyx")]
    modules = [
        Extension(
            "controller._core", ["ext/core.pyx"], include_dirs=["ext", include],
            extra_compile_args=flags, extra_objects=[archive], language="c++", depends=headers,
        ),
        Extension(
            "controller.external._link", ["ext/external_program.pyx"], include_dirs=["ext"],
            extra_compile_args=flags, language="c++", depends=headers,
        ),
        Extension(
            "controller.sim._board", ["ext/simboard.pyx"], include_dirs=["ext"],
            extra_compile_args=flags, language="c++",
        ),
    ]
    modules = [m for m in modules if Path(m.sources[0]).exists()]
    return cythonize(modules, compiler_directives=DIRECTIVES, include_path=["ext"])


class BuildWithDescriptions(build_py):
    """A built package carries what the server serves: OpenAPI, AsyncAPI, JSON Schemas, TypeScript declarations."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            from controller.describe.__main__ import write_all

            write_all(Path(self.build_lib) / "controller" / "describe")


if __name__ == "__main__":      # also how setuptools runs it for a PEP 517 build
    os.chdir(HERE)
    sys.path.insert(0, str(HERE))  # PEP 517 builds do not put the project on the path
    building = {"build_ext", "build", "bdist_wheel", "editable_wheel", "develop", "install"} & set(sys.argv)
    setup(ext_modules=extensions() if building else [], cmdclass={"build_py": BuildWithDescriptions},
          options={"build_ext": {"parallel": 2}})

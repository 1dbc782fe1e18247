"""Wheels of the program and of everything it imports, for one target: fetched by hash, or built from hashed sources.

    python packaging/wheels.py [--architecture amd64|arm64] [--python 3.11] [--output dist]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from target import ROOT, BuildError, Target, add_arguments, run

LOCK = ROOT / "requirements.lock"
# Only these are built from their source distribution: there are no wheels of them for every target.
FROM_SOURCE = {"evdev"}
GLIBC = (2, 36)     # of Debian 12
SOURCES = ("controller", "ext", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def locked() -> dict[str, str]:
    """Name -> its lines of requirements.lock, with version and hashes."""
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", LOCK.read_text()))
    return {block.split("==")[0]: block for block in blocks if "==" in block}


def needed() -> dict[str, str]:
    """What runs the program: the lock without what is only needed to build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [{re.match(r"[\w-]+", text)[0].lower() for text in texts}  # type: ignore[index]
             for texts in (project["optional-dependencies"]["build"], project["dependencies"])]
    return {name: block for name, block in locked().items() if name not in names[0] - names[1]}


def fetch(target: Target, names: dict[str, str], place: Path) -> None:
    """Download the wheels, checked against the lock's hashes."""
    place.mkdir(parents=True, exist_ok=True)
    wanted = place / "wanted.txt"
    wanted.write_text("\n".join(names.values()) + "\n")
    platforms = [f"manylinux_{GLIBC[0]}_{minor}_{target.machine}" for minor in range(GLIBC[1], 16, -1)]
    run(target.builder, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes",
        *(f"--platform={name}" for name in [*platforms, f"manylinux2014_{target.machine}"]),
        f"--python-version={target.python}", "--implementation=cp", f"--abi={target.tag}", "--abi=abi3", "--abi=none",
        "-d", place, "-r", wanted)
    wanted.unlink()


def source_distribution(target: Target, name: str) -> Path:
    """The unpacked source of a locked package."""
    place = target.folder / "sources"
    shutil.rmtree(place / name, ignore_errors=True)
    (place / name).mkdir(parents=True)
    (place / "wanted.txt").write_text(locked()[name] + "\n")
    run(target.builder, "-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={name}",
        "--require-hashes", "-d", place / name, "-r", place / "wanted.txt")
    (archive,) = (place / name).glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place / name, filter="data")
    (folder,) = (path for path in (place / name).iterdir() if path.is_dir())
    return folder


def build_wheel(target: Target, source: Path, place: Path, extra: dict[str, str] | None = None) -> Path:
    """The wheel of a source folder."""
    before = set(place.glob("*.whl"))
    run(target.builder, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir", "-w",
        place, source, env=target.environment(source) | (extra or {}))
    (made,) = set(place.glob("*.whl")) - before
    return made


def build_evdev(target: Target, place: Path) -> Path:
    source = source_distribution(target, "evdev")
    headers = Path("/usr/include" if target.native else f"/usr/{target.triplet}/include") / "linux"
    names = ":".join(str(headers / name) for name in ("input.h", "input-event-codes.h", "uinput.h"))
    (source / "setup.cfg").write_text(f"[build_ecodes]\nevdev_headers = {names}\nreproducible = 1\n")
    return build_wheel(target, source, place)


def build_ruckig(target: Target) -> Path | None:
    """Folder with include/ and lib/libruckig.a for another architecture; None: the installed wheel's is the one."""
    if target.native:
        return None
    place = target.folder / "ruckig"
    if (place / "lib/libruckig.a").exists():
        return place
    source = source_distribution(target, "ruckig")
    work = place / "objects"
    work.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted((source / "src/ruckig").glob("*.cpp")) if path.name != "cloud_client.cpp"]
    for file in files:
        run(f"{target.triplet}-g++", "-std=c++20", "-O3", "-DNDEBUG", "-g0", "-fPIC", "-ffp-contract=off",
            f"-ffile-prefix-map={source}=.", f"-I{source / 'include'}", "-c", file, "-o", work / f"{file.stem}.o")
    (place / "lib").mkdir(exist_ok=True)
    shutil.copytree(source / "include", place / "include", dirs_exist_ok=True)
    run(f"{target.triplet}-ar", "rcsD", place / "lib/libruckig.a", *sorted(work.glob("*.o")))
    return place


def export(place: Path) -> None:
    """What is built, and nothing else: files of a former build in the checkout must not get into a package."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SOURCES],
                            cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise BuildError("packages are built from a git checkout: its list of files says what belongs to the program")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, place / name)


def build_program(target: Target, place: Path) -> Path:
    """The wheel of the program itself, always built anew."""
    for old in place.glob("allyarm_controller-*.whl"):
        old.unlink()
    source = target.folder / "source"
    export(source)
    (source / "setup.cfg").write_text(f"[bdist_wheel]\nplat_name = manylinux_{GLIBC[0]}_{GLIBC[1]}_{target.machine}\n")
    ruckig = build_ruckig(target)
    wheel = build_wheel(target, source, place, {"ALLYARM_RUCKIG": str(ruckig)} if ruckig else None)
    check_symbols(target, wheel)
    return wheel


def wheelhouse(target: Target) -> Path:
    """The folder with every wheel that runs the program on the target; dependencies are kept between builds."""
    place = target.folder / "wheels"
    key, done = "\n".join(needed().values()), place / ".complete"
    if not done.exists() or done.read_text() != key:
        shutil.rmtree(place, ignore_errors=True)
        fetch(target, {name: text for name, text in needed().items() if name not in FROM_SOURCE}, place)
        build_evdev(target, place)
        done.write_text(key)
    build_program(target, place)
    return place


def check_symbols(target: Target, wheel: Path) -> None:
    """BuildError when compiled parts need a younger C library than the wheel's tag says."""
    with zipfile.ZipFile(wheel) as packed, tempfile.TemporaryDirectory() as work:
        for name in (name for name in packed.namelist() if name.endswith(".so")):
            shown = run("objdump", "-T", packed.extract(name, work))
            youngest = max(tuple(map(int, version)) for version in re.findall(r"GLIBC_(\d+)\.(\d+)", shown))
            if youngest > GLIBC:
                raise BuildError(f"{name} needs glibc {youngest[0]}.{youngest[1]}, younger than Debian 12's "
                                 f"{GLIBC[0]}.{GLIBC[1]}: build on Debian 12")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args()
    try:
        target = Target(args.architecture, args.python)
        place = wheelhouse(target)
        (wheel,) = place.glob("allyarm_controller-*.whl")
        args.output.mkdir(parents=True, exist_ok=True)
        print(shutil.copyfile(wheel, args.output / wheel.name))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

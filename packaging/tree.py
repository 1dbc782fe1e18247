"""Release trees and their archives: the one maker of both. What a tree holds is written in docs/deploy.md.

    python packaging/tree.py [--architecture amd64|arm64] [--python 3.11] [--version 0.2.0] [--output dist]

Prints the folder of the tree and the path of the archive. Same commit, same bytes.
"""

from __future__ import annotations

import argparse
import ast
import calendar
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from target import BuildError, Target, add_arguments, commit, commit_time, run
from wheels import wheelhouse

LIBRARY = "/usr/lib/allyarm/lib"        # what tracebacks say of byte code, wherever the tree is
LAUNCHER = '''\
#!/usr/bin/python3 -IS
"""{what} of the release this file lies in. Isolated: neither the environment nor packages of the system get in."""
import os
import sys

if sys.version_info[:2] != ({python}):
    sys.exit("allyarm: this release was built for Python {version}, but /usr/bin/python3 is "
             + "%d.%d" % sys.version_info[:2] + ": install the release for it")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib"))
from {module} import main

sys.exit(main())
'''
# Beside the program itself, commands that a release brings when their module is there: bin/NAME runs MODULE's main().
COMMANDS = {"allyarm": "controller.__main__", "allyarm-release": "controller.update.release_command"}


def build(target: Target, output: Path, version: str = "") -> Path:
    """The release tree `output`/allyarm-VERSION-ARCHITECTURE-pyPYTHON; `version` "": the program's own."""
    return _tree(target, wheelhouse(target), output, version)


def _tree(target: Target, wheels: Path, output: Path, version: str) -> Path:
    work = output / f".tree-{target.architecture}-py{target.python}"
    shutil.rmtree(work, ignore_errors=True)
    library = work / "lib"
    names = sorted(re.match(r"(.+?)-(\d[^-]*)-", path.name).expand(r"\1==\2")  # type: ignore[union-attr]
                   for path in wheels.glob("*.whl"))
    tags = (path.stem.rpartition("-")[2] for path in wheels.glob("*.whl"))
    platforms = sorted({part for tag in tags for part in tag.split(".")} - {"any"})
    run(target.builder, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--target",
        library,
        "--no-cache-dir", "--find-links", wheels, "--only-binary=:all:", "--implementation=cp", f"--abi={target.tag}",
        "--abi=abi3", "--abi=none", f"--python-version={target.python}", *(f"--platform={name}" for name in platforms),
        *names, env={"PATH": "/usr/bin:/bin", "PIP_NO_WARN_SCRIPT_LOCATION": "1", "PIP_ROOT_USER_ACTION": "ignore"})
    shutil.rmtree(library / "bin", ignore_errors=True)      # launchers with this machine's interpreter in them
    # RECORD tells of launchers that were just removed and of libraries before they are stripped; release.json counts.
    for junk in [*library.rglob("__pycache__"), *library.glob("*.dist-info/direct_url.json"),
                 *library.glob("*.dist-info/RECORD")]:
        shutil.rmtree(junk) if junk.is_dir() else junk.unlink()
    for binary in sorted(path for path in library.rglob("*") if re.search(r"\.so(\.|$)", path.name)):
        run(f"{target.triplet}-strip", "--strip-unneeded", "--remove-section=.comment", "--remove-section=.note",
            binary)
    return _finish(target, work, output, version)


def _finish(target: Target, work: Path, output: Path, version: str) -> Path:
    """Version, launchers, byte code, modes and release.json of a tree whose lib/ is complete."""
    library = work / "lib"
    package = library / "controller" / "__init__.py"
    found = re.search(r'__version__ = "(.+?)"', package.read_text())
    assert found
    if version and version != found[1]:
        if not re.fullmatch(r"[0-9][0-9a-z.+~]*", version):
            raise BuildError(f"version: found {version!r}; allowed: digits first, then digits, small letters, . + ~")
        package.write_text(package.read_text().replace(found[0], f'__version__ = "{version}"'))
    (work / "bin").mkdir(exist_ok=True)
    for command, module in COMMANDS.items():
        if (library / f"{module.replace('.', '/')}.py").exists():
            (work / "bin" / command).write_text(LAUNCHER.format(
                what=f"The command `{command}`", module=module, version=target.python,
                python=target.python.replace(".", ", ")))
    run(target.builder, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", library, "-p", LIBRARY,
        library, env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"})
    for path in work.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.parent == work / "bin" else 0o644)
    describe(target, work, version or found[1])
    name = f"allyarm-{version or found[1]}-{target.architecture}-py{target.python}"
    shutil.rmtree(output / name, ignore_errors=True)
    work.rename(output / name)
    return output / name


def describe(target: Target, tree: Path, version: str) -> None:
    """Write release.json: what the tree is, and the hash of every other file."""
    files = {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
             for path in sorted(tree.rglob("*")) if path.is_file() and path != tree / "release.json"}
    (tree / "release.json").write_text(json.dumps({
        "version": version, "architecture": target.architecture, "python": target.python,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(commit_time())), "commit": commit(),
        "settings_schema": _settings_schema(tree), "files": files}, indent=1) + "\n")
    (tree / "release.json").chmod(0o644)


def _settings_schema(tree: Path) -> int:
    """The version of the settings' database, as the tree's own source says; it may be for another machine."""
    for node in ast.walk(ast.parse((tree / "lib/controller/store.py").read_text())):
        if (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SCHEMA" and isinstance(node.value,
                                                                                                     ast.Call)
                and isinstance(node.value.args[0], ast.Constant)):
            return int(node.value.args[0].value)
    raise BuildError("controller/store.py has no SCHEMA = Schema(number, ...) any more: correct packaging/tree.py")


def as_version(tree: Path, version: str, output: Path, changes: dict[str, str | None] | None = None) -> Path:
    """A copy of a tree under another version, in seconds: for tests of updates, and of broken releases.

    `changes`: path in the tree -> its new text, or None to take it away.
    """
    told = json.loads((tree / "release.json").read_text())
    target = Target(told["architecture"], told["python"])
    work = output / f".copy-{version}"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(tree, work)
    for name, text in (changes or {}).items():
        (work / name).unlink() if text is None else (work / name).write_text(text)
    return _finish(target, work, output, version)


def archive(tree: Path, output: Path, level: int = 19) -> Path:
    """The tree as NAME.tar.zst: names sorted, times of the commit, owner root, modes 644 and 755."""
    packed = io.BytesIO()
    moment = time.strptime(json.loads((tree / "release.json").read_text())["built"], "%Y-%m-%dT%H:%M:%SZ")
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            row = tar.gettarinfo(path, str(path.relative_to(tree)))
            row.uid = row.gid = 0
            row.uname = row.gname = "root"
            row.mtime = calendar.timegm(moment)
            row.mode = 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
            if path.is_file():
                with path.open("rb") as content:
                    tar.addfile(row, content)
            else:
                tar.addfile(row)
    made = output / f"{tree.name}.tar.zst"
    done = subprocess.run(["zstd", "-q", f"-{level}", "-T1", "-f", "-o", str(made)], input=packed.getvalue(),
                          capture_output=True, check=False)
    if done.returncode:
        raise BuildError(f"zstd: {done.stderr.decode().strip()}")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--version", default="", help="instead of the program's own")
    parser.add_argument("--no-archive", action="store_true", help="only the folder")
    args = parser.parse_args()
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        tree = build(Target(args.architecture, args.python), args.output, args.version)
        print(tree)
        if not args.no_archive:
            print(archive(tree, args.output))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

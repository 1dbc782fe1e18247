"""The flashable card, the update bundle for RAUC, and what lies beside them: `make image` (docs/image.md).

    python image/build.py --deb dist/allyarm_0.1.0_arm64.deb [--version 0.1.0] [--output dist] [--bundle-only]

Needs root (foreign-architecture chroots and device nodes), qemu-user-static with its binfmt entry, and the tools that
`tools()` names. Writes to OUTPUT:

    allyarm-image-VERSION-arm64.img.zst     the card
    allyarm-image-VERSION-arm64.raucb       the same system as an update bundle (verity, signed)
    allyarm-image-VERSION-arm64.cdx.json    what is inside (CycloneDX)
    allyarm-image-VERSION-arm64.sha256      checksums of the three
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RELEASE, MIRROR = "trixie", "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
COMPATIBLE = "allyarm-rpi4-arm64"
SLOT_BYTES, DATA_BYTES, ENV_BYTES = 1024 * 2**20, 256 * 2**20, 512
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "iproute2", "procps", "python3", "linux-image-rt-arm64",
    "initramfs-tools", "zstd", "rauc", "rauc-service", "libubootenv-tool", "e2fsprogs", "ca-certificates", "hostapd",
    "iw", "wireless-regdb", "systemd-timesyncd", "libpam-systemd",
)
LATER = ("systemd-repart", "firmware-brcm80211")  # installed with the controller, so that the base can be kept longer
BOOT_PACKAGES = ("raspi-firmware", "u-boot-rpi")  # only taken apart, for the boot partition: never installed
BOARDS = ("bcm2711-rpi-4-b", "bcm2711-rpi-400", "bcm2711-rpi-cm4-io")
# What `data` holds at the first boot: folder -> (mode, where its first content comes from in the system).
DATA = {"allyarm": (0o755, ""), "allyarm-releases": (0o755, "var/lib/allyarm-releases"),
        "config": (0o755, "etc/allyarm"), "systemd": (0o755, ""), "log": (0o755, ""), "rauc": (0o700, ""),
        "identity": (0o755, ""), "hotspot": (0o700, "")}
TOOLS = {"mmdebstrap": "mmdebstrap", "genimage": "genimage", "rauc": "rauc", "mkimage": "u-boot-tools",
         "mkenvimage": "u-boot-tools", "dtc": "device-tree-compiler", "mkfs.ext4": "e2fsprogs",
         "mkfs.vfat": "dosfstools", "mcopy": "mtools", "mksquashfs": "squashfs-tools",
         "zstd": "zstd", "openssl": "openssl",
         "arch-test": "arch-test",
         "/usr/bin/qemu-aarch64-static": "qemu-user-static"}


class BuildError(Exception):
    """Says what is wrong and what to do."""


def run(*words: object, **options: object) -> None:
    """A command that has to succeed."""
    done = subprocess.run([str(word) for word in words], check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, words))[:200]} failed with {done.returncode}")


def tools() -> None:
    """BuildError that names every package that is missing."""
    if os.geteuid():
        raise BuildError("root is needed: the system is made in a chroot")
    if missing := sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)}):
        raise BuildError(f"missing: apt-get install {' '.join(missing)}")
    if subprocess.run(["arch-test", "arm64"], capture_output=True, check=False).returncode:
        raise BuildError("arm64 programs do not run here: is binfmt_misc mounted, with qemu-aarch64 in it? (`"
                         "systemctl restart systemd-binfmt`, or `mount -t binfmt_misc none /proc/sys/fs/binfmt_misc`)")


def base(cache: Path) -> Path:
    """The plain Debian system as an archive, kept as long as its list of packages is the same. 11 minutes."""
    key = hashlib.sha256("\n".join((RELEASE, MIRROR, *PACKAGES)).encode()).hexdigest()[:12]
    archive = cache / f"base-{key}.tar"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        new = cache / f"{archive.stem}.new.tar"
        run("mmdebstrap", "--arch=arm64", "--variant=minbase", "--components=main,non-free-firmware",
            f"--include={','.join(PACKAGES)}", RELEASE, new, MIRROR)
        new.rename(archive)
    return archive


@contextlib.contextmanager
def chroot(root: Path) -> Iterator[None]:
    """The mounts that package scripts need, and a policy that no service is started."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", resolver)
    mounts = [("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "tmp"), ("tmpfs", "run")]
    try:
        for kind, where in mounts:
            run("mount", "-t", kind, "none", root / where)
        yield
    finally:
        for _, where in reversed(mounts):
            subprocess.run(["umount", str(root / where)], check=False, capture_output=True)
        policy.unlink(missing_ok=True)
        resolver.unlink(missing_ok=True)


def inside(root: Path, *words: object) -> None:
    """Run something in the system."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8",
                   "HOME": "/root"}
    run("chroot", root, *words, env=environment)


def system(archive: Path, work: Path, deb: Path) -> Path:
    """The system with the controller in it, as a folder."""
    root = work / "root"
    if root.exists():
        shutil.rmtree(root)
    root.mkdir(parents=True)
    run("tar", "-xpf", archive, "-C", root, "--numeric-owner")
    run("cp", "-a", "--no-preserve=ownership", f"{HERE / 'root'}/.", root)
    with chroot(root):
        shutil.copy(deb, root / "tmp/allyarm.deb")
        inside(root, "apt-get", "update", "-qq")
        inside(root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *LATER, "/tmp/allyarm.deb")
        boot = root / "tmp/boot"
        boot.mkdir()
        boot.chmod(0o777)   # apt downloads as a user of its own
        inside(root, "sh", "-c", f"cd /tmp/boot && apt-get download -qq {' '.join(BOOT_PACKAGES)}")
        packages = work / "boot-packages"
        shutil.rmtree(packages, ignore_errors=True)
        shutil.copytree(boot, packages)
        for unit in ("allyarm.service", "allyarm-slot.service", "systemd-networkd.service"):
            inside(root, "systemctl", "enable", unit)
        # apt's timers have nothing to do in a system that is read-only; hostapd waits for its configuration
        inside(root, "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
               "systemd-firstboot.service")
        inside(root, "systemctl", "unmask", "hostapd.service")
        inside(root, "systemctl", "enable", "hostapd.service")
        inside(root, "passwd", "--lock", "root")
        inside(root, "update-initramfs", "-u")
        inside(root, "apt-get", "clean")
    return root


def finish(root: Path, version: str, keyring: Path) -> None:
    """What is left: places to mount on, names, and what belongs to no board in particular."""
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if len(kernels) != 1:
        raise BuildError(f"one kernel is expected in the system, found {[path.name for path in kernels]}")
    number = kernels[0].name.removeprefix("vmlinuz-")
    for name, target in (("vmlinuz", f"vmlinuz-{number}"), ("initrd.img", f"initrd.img-{number}")):
        (root / "boot" / name).unlink(missing_ok=True)
        (root / "boot" / name).symlink_to(target)
    for place in ("data", "var/lib/allyarm", "var/lib/allyarm-releases", "etc/allyarm"):
        (root / place).mkdir(parents=True, exist_ok=True)
    for name in ("etc/machine-id", "etc/hostname"):     # the initramfs lays the board's own over them
        (root / name).unlink(missing_ok=True)
        (root / name).touch()
    (root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n")
    link = root / "etc/resolv.conf"
    link.unlink(missing_ok=True)
    link.symlink_to("../run/systemd/resolve/resolv.conf" if (root / "usr/lib/systemd/systemd-resolved").exists()
                    else "../run/resolv.conf")
    shutil.copy(keyring, root / "etc/rauc/keyring.pem")
    template = (HERE / "root/etc/rauc/system.conf").read_text()
    text = template.replace("@VERSION@", version).replace("@COMPATIBLE@", COMPATIBLE)
    (root / "etc/rauc/system.conf").write_text(text)
    said = subprocess.run(["chroot", str(root), "rauc", "--conf=/etc/rauc/system.conf", "status"], capture_output=True,
                          text=True, check=False).stderr     # without D-Bus it still reads its configuration
    if "system config file" not in said or "Failed to load system config" in said:
        raise BuildError(f"RAUC does not take its configuration: {said}")
    release = root / "usr/lib/os-release"
    text = re.sub(r"(?m)^IMAGE_(ID|VERSION)=.*\n", "", release.read_text())
    release.write_text(f"{text}IMAGE_ID=allyarm\nIMAGE_VERSION={version}\n")
    for junk in (*root.glob("var/lib/apt/lists/*"), *root.glob("var/cache/apt/*"), *root.glob("var/log/*"),
                 *root.glob("usr/share/man/*"), *root.glob("etc/ssh/ssh_host_*"),
                 *(found for found in root.glob("usr/share/doc/*/*") if found.name != "copyright")):
        shutil.rmtree(junk) if junk.is_dir() and not junk.is_symlink() else junk.unlink(missing_ok=True)


def ext4(folder: Path, image: Path, size: int, label: str) -> None:
    """A file system with a folder's content."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    run("mkfs.ext4", "-q", "-F", "-L", label, "-m", "2", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", folder,
        image)


def data(root: Path, folder: Path) -> None:
    """First content of the data partition."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, (mode, source) in DATA.items():
        if source and (root / source).is_dir():
            run("mkdir", "-p", folder)
            run("cp", "-a", root / source, folder / name)
        else:
            (folder / name).mkdir(parents=True)
        (folder / name).chmod(mode)


def boot(root: Path, packages: Path, folder: Path) -> list[str]:
    """Files of the boot partition: firmware, device trees, U-Boot and its script. Returns genimage's list of them."""
    shutil.rmtree(folder, ignore_errors=True)
    unpacked = folder.parent / "boot-unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    for package in packages.glob("*.deb"):
        run("dpkg-deb", "-x", package, unpacked)
    (folder / "overlays").mkdir(parents=True)
    firmware = unpacked / "usr/lib/raspi-firmware"
    for name in ("start4.elf", "fixup4.dat"):
        shutil.copy(firmware / name, folder)
    shutil.copy(unpacked / "usr/lib/u-boot/rpi_arm64/u-boot.bin", folder)
    (trees,) = root.glob("usr/lib/linux-image-*/broadcom")
    for name in BOARDS:
        shutil.copy(trees / f"{name}.dtb", folder)
    run("dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", folder / "overlays/motor-uart.dtbo",
        HERE / "boot/motor-uart.dts")
    shutil.copy(HERE / "boot/config.txt", folder)
    script = folder.parent / "boot.cmd"
    tuning = root / "usr/share/allyarm/realtime-cmdline"     # the package's own; `allyarm doctor` looks for it
    script.write_text((HERE / "boot/boot.cmd").read_text().replace("@TUNING@", tuning.read_text().strip()))
    run("mkimage", "-q", "-A", "arm64", "-O", "linux", "-T", "script", "-C", "none", "-n", "allyarm", "-d",
        script, folder / "boot.scr", stdout=subprocess.DEVNULL)
    return sorted(path.name for path in folder.iterdir())


def card(work: Path, files: list[str], name: str) -> Path:
    """The whole card."""
    state = work / "env.txt"
    state.write_text("BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n")
    images = work / "images"
    run("mkenvimage", "-s", ENV_BYTES, "-p", "0", "-o", images / "env.img", state)
    config = work / "genimage.cfg"
    listed = ", ".join(f'"{found}"' for found in files)
    config.write_text((HERE / "genimage.cfg").read_text().replace("@BOOT_FILES@", listed).replace("@NAME@", name))
    shutil.rmtree(work / "genimage", ignore_errors=True)
    for found in files:
        where = images / found
        shutil.rmtree(where, ignore_errors=True) if where.is_dir() else where.unlink(missing_ok=True)
    run("cp", "-a", f"{work / 'boot'}/.", images)
    (work / "empty").mkdir(exist_ok=True)
    run("genimage", "--config", config, "--inputpath", images, "--outputpath", work / "out", "--tmppath",
        work / "genimage", "--rootpath", work / "empty")
    return work / "out" / f"{name}.img"


def bundle(work: Path, version: str, keys: Path, to: Path) -> None:
    """The system as a bundle for RAUC."""
    content = work / "bundle"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    os.link(work / "images/root.ext4", content / "root.ext4")
    (content / "manifest.raucm").write_text(
        f"[update]\ncompatible={COMPATIBLE}\nversion={version}\n\n[bundle]\nformat=verity\n\n"
        "[image.rootfs]\nfilename=root.ext4\n")
    to.unlink(missing_ok=True)
    run("rauc", "--cert", keys / "signer.pem", "--key", keys / "signer.key", "--keyring", keys / "keyring.pem",
        "--mksquashfs-args=-comp zstd -Xcompression-level 6", "bundle", content, to)


def checksums(files: list[Path], to: Path) -> None:
    """In the form of sha256sum."""
    lines = []
    for file in files:
        with file.open("rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {file.name}\n")
    to.write_text("".join(lines))


def build(options: argparse.Namespace) -> list[Path]:
    """Everything; returns the files."""
    from keys import ready
    from sbom import describe

    tools()
    work, output = options.work, options.output
    keys = ready(options.keys)
    output.mkdir(parents=True, exist_ok=True)
    images = work / "images"
    images.mkdir(parents=True, exist_ok=True)
    root = work / "root"
    if not (options.reuse and root.exists()):
        root = system(base(options.cache), work, options.deb)
    finish(root, options.version, keys / "keyring.pem")
    name = f"allyarm-image-{options.version}-arm64"
    made = [output / f"{name}.raucb", output / f"{name}.cdx.json"]
    ext4(root, images / "root.ext4", SLOT_BYTES, "system")
    bundle(work, options.version, keys, made[0])
    made[1].write_text(json.dumps(describe(root, work / "boot-packages", name, options.version), indent=1) + "\n")
    if not options.bundle_only:
        data(root, work / "data")
        ext4(work / "data", images / "data.ext4", DATA_BYTES, "data")
        image = card(work, boot(root, work / "boot-packages", work / "boot"), name)
        made.insert(0, output / f"{name}.img.zst")
        run("zstd", "-q", "-f", "-T0", "-6", image, "-o", made[0])
    checksums(made, output / f"{name}.sha256")
    return [*made, output / f"{name}.sha256"]


def own_version() -> str:
    found = re.search(r'__version__ = "(.+?)"', (ROOT / "controller/__init__.py").read_text())
    assert found
    return found[1]


def main() -> int:
    """0 made, 1 failed, 2 usage."""
    parser = argparse.ArgumentParser(prog="image/build.py", description="Build the card and the update bundle.")
    parser.add_argument("--deb", type=Path, help="the controller's package for arm64")
    parser.add_argument("--version", default=own_version(), help="of the image (default: the program's)")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--work", type=Path, default=ROOT / "build/image", help="folder for what is made on the way")
    cache = Path(os.environ.get("ALLYARM_IMAGE_CACHE", ROOT / "build/image-cache"))
    parser.add_argument("--cache", type=Path, default=cache,
                        help="folder for the plain Debian system")
    parser.add_argument("--keys", type=Path, help="folder with signer.pem, signer.key, keyring.pem; left out: keys for "
                        "development are made, with which nothing must be shipped")
    parser.add_argument("--bundle-only", action="store_true", help="no card")
    parser.add_argument("--reuse", action="store_true", help="the system of the last run, with another version")
    options = parser.parse_args()
    if not re.fullmatch(r"\d+\.\d+\.\d+(?:[-+.][0-9A-Za-z.-]+)?", options.version):
        parser.error(f"--version: found {options.version!r}; allowed: a semantic version, as 1.2.3")
    if not options.reuse and (options.deb is None or not options.deb.is_file()):
        parser.error(f"--deb: found {options.deb}; a package for arm64 is needed (`make package` makes it)")
    options.keys = options.keys or options.work / "development-keys"
    try:
        print(*build(options), sep="\n")
    except BuildError as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

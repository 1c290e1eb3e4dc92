# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel as L1's and L2's kernel: downloaded and unpacked into the cache, never installed."""

import lzma
import os
import re
import struct
import subprocess
import zlib

from . import paths, report

META_PACKAGE = os.environ.get("LAB_KERNEL") or "linux-image-amd64"


class Kernel:
    """An unpacked kernel package."""

    modular = True

    def __init__(self, root):
        self.root = root
        self.image = next(root.glob("boot/vmlinuz-*"))
        self.release = self.image.name.removeprefix("vmlinuz-")

    @property
    def key(self):
        return self.root.name

    def vmlinux(self):
        """The uncompressed ELF inside the bzImage: it has the PVH entry note."""
        return paths.make_once(self.root.with_name(self.root.name + ".vmlinux"), self._extract_vmlinux)

    def _extract_vmlinux(self, target):
        report.progress("extracting vmlinux")
        target.write_bytes(extract_elf(self.image.read_bytes()))


def fetch():
    """The kernel linux-image-amd64 depends on today, or the newest one cached when apt knows none."""
    package, version = _candidate()
    if package is None:
        return Kernel(_newest_cached())
    target = paths.CACHE / "kernel" / f"{package}_{version}"
    return Kernel(paths.make_once(target, lambda path: _download(package, version, path)))


def _candidate():
    """(package, version) by apt's lists, after an update when they are empty; (None, None) without."""
    for attempt in ("now", "after an update"):
        if attempt != "now" and not _update_lists():
            break
        depends = _apt_cache("depends", "--important", META_PACKAGE)
        match = re.search(r"Depends: (linux-image-\S+)", depends)
        if match and (version := candidate_version(match[1])):
            return match[1], version
    return None, None


def candidate_version(package):
    """The version apt would install, or None."""
    match = re.search(r"Candidate: (\S+)", _apt_cache("policy", package))
    return match[1] if match and match[1] != "(none)" else None


def _apt_cache(*args):
    return subprocess.run(["apt-cache", *args], capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def _update_lists():
    report.progress("updating apt's package lists")
    return subprocess.run([*as_root(), "apt-get", "-qq", "update"], stdin=subprocess.DEVNULL).returncode == 0


def as_root():
    return [] if os.geteuid() == 0 else ["sudo"]


def _newest_cached():
    cached = sorted((paths.CACHE / "kernel").glob("linux-image-*_*[!k]"), key=lambda p: p.stat().st_mtime)
    cached = [path for path in cached if path.is_dir()]
    if not cached:
        raise SystemExit(f"lab: apt offers no {META_PACKAGE}; the lab needs Debian's kernel package "
                         "(is a Debian source configured, and the network up?)")
    return cached[-1]


def download(package, version, folder, size):
    """The package's files, in a folder that is made for them."""
    report.progress(f"downloading {package} {version} ({size})")
    folder.mkdir()
    command = ["apt-get", "-qq", "-o", "Acquire::Retries=3", "download", f"{package}={version}"]
    if os.geteuid() == 0:
        # root's cache is not readable by apt's own unprivileged user, who would download otherwise
        command[1:1] = ["-o", "APT::Sandbox::User=root"]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    archive = next(folder.glob("*.deb"))
    subprocess.run(["dpkg", "-x", archive, folder], check=True)
    archive.unlink()
    return folder


def _download(package, version, target):
    download(package, version, target, "about 70 MB")
    release = next(target.glob("lib/modules/*")).name
    subprocess.run(["/sbin/depmod", "-b", target, release], check=True)


def extract_elf(image):
    """Find the compressed payload of a bzImage and return it uncompressed.

    The boot protocol (2.08 and later) says where it is: payload_offset counts from the start of the
    protected-mode code, which follows the (setup_sects + 1) sectors of real-mode code.
    """
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start:start + length]
    if payload.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31).decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return subprocess.run(["zstd", "-dc"], input=payload[:-4], capture_output=True, check=True).stdout
    if payload.startswith(b"\x02\x21\x4c\x18"):
        return subprocess.run(["lz4", "-dc"], input=payload[:-4], capture_output=True, check=True).stdout
    raise ValueError(f"unknown compression of the kernel image: {payload[:6].hex()}")

# SPDX-License-Identifier: Apache-2.0
"""A kernel with IOMMUFD for L1, which no Debian kernel has: built once from Debian's source into the cache.

What is in it is iommufd.config; everything is built in, so there are no modules. It has no use as a guest's
kernel: guests run Debian's everywhere.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from . import kernel, paths, report

PACKAGE = "linux-source-6.12"       # Linux 6.6 is the first with what we use
CONFIG = pathlib.Path(__file__).with_suffix("").with_name("iommufd.config")
TOOLS = ("gcc", "make", "flex", "bison", "bc", "xz")
STEPS = 1750                        # lines make prints, about
ASIDE = ("nice", "-n", "19")        # cases run meanwhile
# Nothing of these is compiled; their Kconfig files must stay.
UNUSED = ("*/Documentation/*.rst", "*/Documentation/*.yaml", "*/arch/[a-wyz]*/*.[chS]", "*.dts", "*.dtsi",
          "*/drivers/gpu/*.[ch]", "*/drivers/media/*.[ch]", "*/drivers/net/wireless/*.[ch]", "*/sound/*.[ch]",
          "*/tools/perf/*", "*/tools/testing/*")


class Unavailable(Exception):
    """It cannot be had on this machine; the text says why."""


class Built:
    """What is in the cache, with the face of kernel.Kernel."""

    modular = False

    def __init__(self, root):
        self.root = root
        self.image = root / "bzImage"
        self.release = (root / "release").read_text().strip()

    @property
    def key(self):
        return self.root.name


def fetch():
    """From the cache, or built now: some minutes. Unavailable without Debian's source or the tools."""
    version = kernel.candidate_version(PACKAGE)
    digest = hashlib.sha256(CONFIG.read_bytes())
    target = paths.CACHE / "kernel" / f"iommufd_{version}_{digest.hexdigest()[:16]}"
    if version is None:
        built = sorted(paths.CACHE.glob(f"kernel/iommufd_*_{digest.hexdigest()[:16]}"))
        if not built:
            raise Unavailable(f"apt offers no {PACKAGE}, from which the kernel with IOMMUFD is built")
        return Built(built[-1])
    return Built(paths.make_once(target, lambda path: _build(version, path)))


def _build(version, target):
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        raise Unavailable(f"building the kernel with IOMMUFD needs {', '.join(missing)}: run tests/deps test")
    source, scratch = target.with_name("source"), target.with_name("objects")
    try:
        archive = kernel.download(PACKAGE, version, target.with_name("download"), "about 150 MB")
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"apt-get download {PACKAGE} failed with status {error.returncode}") from None
    report.progress("unpacking it")
    source.mkdir()
    scratch.mkdir()
    tarball = next(archive.glob("usr/src/linux-source-*.tar.xz"))
    subprocess.run([*ASIDE, "tar", "-C", source, "--strip-components=1", "-xf", tarball, "--wildcards",
                    *(f"--exclude={pattern}" for pattern in UNUSED)], check=True)
    shutil.rmtree(archive)
    make = [*ASIDE, "make", "-C", source, f"O={scratch}", f"-j{os.cpu_count() or 1}"]
    _run([*make, f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig"], lambda line: None)
    _check_config((scratch / ".config").read_text())
    _Progress().run([*make, "bzImage"])
    target.mkdir()
    shutil.copy(scratch / "arch/x86/boot/bzImage", target / "bzImage")
    shutil.copy(scratch / ".config", target / "config")
    shutil.copy(scratch / "include/config/kernel.release", target / "release")


def _check_config(made):
    """An option that another kernel version renamed would be dropped in silence."""
    wanted = re.findall(r"^CONFIG_\w+=.*$", CONFIG.read_text(), re.M)
    lost = sorted(set(wanted) - set(made.splitlines()))
    if lost:
        raise RuntimeError(f"this kernel does not take {', '.join(lost)} of {CONFIG.name}")


def _run(command, each_line):
    """Run to the end, showing each line to each_line(); RuntimeError with the last lines on failure."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace",
                               env={**os.environ, "LC_ALL": "C"})
    rows = []
    for row in process.stdout:
        rows = [*rows[-30:], row]
        each_line(row)
    if process.wait():
        raise RuntimeError(f"building the kernel with IOMMUFD failed:\n{''.join(rows)}")


class _Progress:
    """Says every half minute how far the build is."""

    def __init__(self):
        self._started = time.monotonic()
        self._steps = 0
        self._ended = threading.Event()

    def run(self, command):
        report.progress("building a kernel with IOMMUFD, once (about 4 minutes on two idle processors)")
        teller = threading.Thread(target=self._tell, daemon=True)
        teller.start()
        try:
            _run(command, self._count)
        finally:
            self._ended.set()
            teller.join()

    def _count(self, row):
        self._steps += row.startswith("  ")

    def _tell(self):
        while not self._ended.wait(30):
            report.progress(f"building it: {min(99, 100 * self._steps // STEPS)} % after "
                            f"{time.monotonic() - self._started:.0f} s")

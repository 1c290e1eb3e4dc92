# SPDX-License-Identifier: Apache-2.0
"""What a run needs before its first L1: kernel, initramfs, the program under test, a place for logs."""

import os
import pathlib
import shutil
import sys
import time

from . import initramfs, iommufd_kernel, kernel, paths


def output_folder():
    folder = paths.OUTPUT / time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}")
    folder.mkdir(parents=True)
    return folder


def prepare(folder, vmm, program=None):
    """(Debian's kernel, the files cases use by name), from the cache or made now."""
    linux = kernel.fetch()
    if vmm == "qemu":
        program = program or pathlib.Path(shutil.which("qemu-system-x86_64"))
    else:
        program = _snapshot(program or paths.REPO / "build" / "portcullis", folder)
    files = {"program": program, "kernel": linux.image, "vmlinux": linux.vmlinux(), "initrd": initramfs.l2(linux)}
    return linux, {name: str(path) for name, path in files.items()}


def host_kernels(names, debian):
    """L1's kernels by their names in labkit.hosts; in place of one that cannot be had, the exception that says why."""
    kernels = {"debian": debian}
    if "iommufd" in names:
        try:
            kernels["iommufd"] = iommufd_kernel.fetch()
        except (iommufd_kernel.Unavailable, RuntimeError) as error:
            kernels["iommufd"] = error
    for linux in kernels.values():
        if not isinstance(linux, Exception):
            initramfs.l1(linux)
    return kernels


def _snapshot(program, folder):
    """A copy, so that a build that goes on meanwhile does not change what is tested."""
    if not program.exists():
        sys.exit(f"lab: there is no {program}; build it first")
    return pathlib.Path(shutil.copy2(program, folder / program.name))


def default_jobs():
    """One L1 keeps about one processor busy, and may use all the memory it was given."""
    with open("/proc/meminfo") as table:
        available = next(int(row.split()[1]) for row in table if row.startswith("MemAvailable")) // 1024
    return max(1, min(os.cpu_count() or 1, available // 5120))

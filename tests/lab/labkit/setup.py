# SPDX-License-Identifier: Apache-2.0
"""What a run needs before its first L1: kernel, initramfs, the program under test, a place for logs."""

import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

from . import bochs, bochs_image, initramfs, iommufd_kernel, kernel, l0, paths


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


class HostKernel:
    """One of L1's kernels, which may be some minutes in the making; others' cases run meanwhile."""

    def __init__(self, fetch, prepare=initramfs.l1):
        self._fetch = fetch
        self._prepare = prepare
        self._value = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            value = self._fetch()
            self._prepare(value)
            self._value = value
        except Exception as error:      # whoever wants the kernel tells of it
            self._value = error

    def get(self, timeout=None):
        """The kernel; the exception that says why it cannot be had; or None: not yet."""
        self._thread.join(timeout)
        return None if self._thread.is_alive() else self._value


def _with_model(linux, model):
    """The kernel, where L0's QEMU has this device for it."""
    qemu = l0.qemu_path()
    models = subprocess.run([qemu, "-device", "help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    if f'name "{model}"' not in models:
        raise iommufd_kernel.Unavailable(f"{qemu} has no device '{model}' (QEMU 8.0 has): name another one in LAB_QEMU")
    return linux


def host_kernels(names, debian):
    """L1's kernels by their names in labkit.hosts."""
    ways = {"debian": (lambda: debian,), "iommufd": (iommufd_kernel.fetch,),
            "igb": (lambda: _with_model(debian, "igb"),),
            "bochs": (lambda: bochs.fetch(debian), bochs_image.kernel)}
    return {name: HostKernel(*ways[name]) for name in {"debian", *names}}


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

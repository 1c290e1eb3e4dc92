# SPDX-License-Identifier: Apache-2.0
"""The initramfs of L1 (just enough to reach the 9p root) and of L2 (the whole guest)."""

import hashlib
import os
import pathlib
import subprocess

from . import cpio, paths, report

BUSYBOX = pathlib.Path("/bin/busybox")

# virtio_pci first: everything L1 does goes through virtio. The agent loads the rest from the 9p root.
L1_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"]

# What a guest loads at boot; it has no udev. e1000e comes when there is such a card (l2/init).
L2_MODULES = ["nvme", "button", "evdev"]
# What a case loads in the guest by name (`load e1000`), because every module costs each boot its time.
L2_ON_DEMAND = ["e1000", "e1000e", "igb", "igbvf", "8139cp", "8250_pci", "uio_pci_generic", "xhci_pci", "virtio_pci",
                "virtio_net", "virtio_blk", "cpuid", "msr", "pvpanic_pci"]

LOAD = """#!/bin/sh
# Load a module and what it needs; parameters are the module's own: load e1000e IntMode=0
order=/lib/modules/$1.order
shift
last=$(tail -n 1 $order)
[ -n "$last" ] || exit 0	# it is built in
while read -r module; do
	[ $module != $last ] || break
	insmod /lib/modules/$module 2>/dev/null
done <$order
insmod /lib/modules/$last "$@"
"""


def l1(kernel):
    sources = [paths.LAB / "l1" / "init"]
    return _build("l1", kernel, sources, L1_MODULES if kernel.modular else [], [], _no_extras)


def l2(kernel):
    sources = [paths.LAB / "l2" / "init", *sorted((paths.LAB / "l2").glob("*.[ch]"))]
    return _build("l2", kernel, sources, L2_MODULES, L2_ON_DEMAND, _compile_tools)


def _build(name, kernel, sources, modules, on_demand, extras):
    """Built once per content: the file's name is a digest of everything that goes into it."""
    digest = hashlib.sha256(kernel.key.encode())
    for path in [BUSYBOX, pathlib.Path(__file__), *sources]:
        digest.update(path.read_bytes())
    target = paths.CACHE / "initramfs" / f"{name}-{digest.hexdigest()[:16]}.cpio"

    def build(path):
        report.progress(f"building {name.upper()}'s initramfs")
        archive = base(sources[0])
        add_modules(archive, kernel, modules, on_demand)
        extras(archive, sources[1:], path)
        path.write_bytes(archive.bytes())

    return paths.make_once(target, build)


def base(init):
    """An archive with what every initramfs has."""
    archive = cpio.Archive()
    for folder in ("bin", "dev", "proc", "sys", "tmp", "root", "mnt", "run"):
        archive.folder(folder)
    archive.char_device("dev/console", 5, 1)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    archive.symlink("bin/sh", "busybox")
    archive.symlink("sbin", "bin")
    archive.file("init", init.read_bytes(), 0o755)
    return archive


def add_modules(archive, kernel, modules, on_demand):
    """Module files, and lists of them in the order insmod needs: `boot`, and one for each on demand."""
    added = set()
    for name, members in [("boot", modules), *((module, [module]) for module in on_demand)]:
        order = []
        for path in (path for module in members for path in module_files(kernel, module)):
            if path not in order:
                order.append(path)
        for path in (path for path in order if path not in added):
            archive.file(f"lib/modules/{path.name}", path.read_bytes())
        added.update(order)
        archive.file(f"lib/modules/{name}.order", "".join(f"{path.name}\n" for path in order).encode())


def module_files(kernel, module):
    """In load order, as modprobe would insert them; nothing for what is built in."""
    command = ["/sbin/modprobe", "-d", kernel.root, "-S", kernel.release, "--show-depends", module]
    output = subprocess.run(command, capture_output=True, text=True, check=True,
                            env={**os.environ, "LC_ALL": "C"}).stdout
    rows = [row.split() for row in output.splitlines()]
    return [pathlib.Path(row[1]) for row in rows if row[0] == "insmod"]


def _no_extras(archive, sources, scratch):
    pass


def _compile_tools(archive, sources, scratch):
    archive.file("bin/load", LOAD.encode(), 0o755)
    for source in sources:
        if source.suffix == ".h":
            continue  # among the sources because the tools change with it
        binary = scratch.with_name(source.stem)
        subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", binary, source], check=True)
        archive.file(f"bin/{source.stem}", binary.read_bytes(), 0o755)

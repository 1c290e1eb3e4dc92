# SPDX-License-Identifier: Apache-2.0
"""An L1 with Intel's VMX: Bochs instead of QEMU, whose software emulation has AMD's SVM only.

Bochs 2.7 is an i440FX machine without an IOMMU: it shows KVM, not VFIO. There is no 9p and no virtio, so
everything L1 needs is in its initramfs, and the channel to its agent is a serial port. What Bochs emulates takes
about a hundred times as long as on a processor, so nothing is there that needs not be.
"""

import os
import pty
import socket
import subprocess
import threading

from . import bochs_image, l0, steal
from .iommufd_kernel import Unavailable

# What is used, and the package that brings it.
PARTS = {
    "/usr/bin/bochs-bin": "bochs",
    "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so": "bochs-term",
    "/usr/share/bochs/BIOS-bochs-latest": "bochsbios",
    "/usr/share/vgabios/vgabios.bin": "vgabios",
    "/usr/lib/ISOLINUX/isolinux.bin": "isolinux",
    "/usr/lib/syslinux/modules/bios/mboot.c32": "syslinux-common",
    "/usr/bin/xorriso": "xorriso",
    "/usr/bin/lz4": "lz4",
}
PORT = "/dev/ttyS1"
BOOT_DEADLINE = 1200            # seconds of steal.Clock; 150 is usual

BOCHSRC = """\
config_interface: textconfig
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1
megs: {memory}
clock: sync=none, time0=946681200
boot: cdrom
ata0-master: type=cdrom, path={folder}/l1.iso, status=inserted
com1: enabled=1, mode=file, dev={folder}/l1-console.log
com2: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
log: {folder}/l0-bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
speaker: enabled=0
sound: waveoutdrv=dummy
"""


def fetch(debian):
    """Debian's kernel, where there is what runs it. Unavailable without one of the packages."""
    missing = sorted({package for path, package in PARTS.items() if not os.path.exists(path)})
    if missing:
        raise Unavailable(f"not installed: {' '.join(missing)}")
    return debian


class L1(l0.L1):
    """An L1 in Bochs; `files` are those that cases use by name."""

    emulator = "Bochs"

    def __init__(self, host, kernel, folder, files):
        super().__init__(host, kernel, folder)
        self._files = files
        self._terminal = None

    def start(self, interactive=False):
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_cd()
        with socket.create_server(("127.0.0.1", 0)) as server:
            (self.folder / "bochsrc").write_text(BOCHSRC.format(
                memory=self.host.memory, folder=self.folder, port=server.getsockname()[1]))
            # Debian's build has the debugger in it, which waits for a command to begin.
            (self.folder / "debugger").write_text("continue\n")
            self._spawn(["bochs-bin", "-q", "-f", "bochsrc", "-rc", "debugger"])
            self.clock = steal.Clock(self._process.pid)
            self.channel = l0.Channel(self._accept(server))

    def _spawn(self, command):
        """Bochs on a terminal of its own: it draws L1's screen there, which nobody looks at."""
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(command, cwd=self.folder, stdin=theirs, stdout=theirs, stderr=theirs,
                                         env={**os.environ, "TERM": "vt100"}, start_new_session=True,
                                         preexec_fn=l0.die_with_parent)
        os.close(theirs)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        with open(self.folder / "l0-screen.log", "wb") as log:
            try:
                while data := os.read(self._terminal, 1 << 16):
                    log.write(data)
            except OSError:
                pass

    def _accept(self, server):
        server.settimeout(1)
        while self._process.poll() is None:
            try:
                return server.accept()[0]
            except TimeoutError:
                pass
        raise l0.LabFault(f"Bochs ended with status {self._process.returncode}")

    def wait_ready(self):
        self._wait_ready(BOOT_DEADLINE)

    def stolen(self):
        return 0.0      # L1's clock counts its instructions: nobody can take from it

    def where(self):
        return "in Bochs"

    def said(self):
        """What Bochs and L1's console said, for a failure's report."""
        texts = {}
        for title, name in (("L0 (Bochs)", "l0-bochs.log"), ("L1 console", "l1-console.log")):
            path = self.folder / name
            texts[title] = path.read_text(errors="replace") if path.exists() else ""
        return texts

    def stop(self):
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()        # 2.7 does not end on TERM
        self._process.wait()
        os.close(self._terminal)
        (self.folder / "l1.iso").unlink(missing_ok=True)

    def _make_cd(self):
        append = ["console=ttyS0,115200", "panic=-1", "quiet", "nokaslr", "no_timer_check", "tsc=reliable",
                  "mitigations=off", "cryptomgr.notests", self.host.append,
                  f"lab_repo={bochs_image.REPO}", "lab_kernel=/none", f"lab_port={PORT}"]
        bochs_image.make(self.folder / "l1.iso", self.folder, self.kernel, " ".join(append), self._files)

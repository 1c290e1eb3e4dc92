#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The first process of L1's user space: runs the cases L0 sends, each in a process of its own.

It talks JSON lines with L0 over a virtio-serial port: a heartbeat every second, so that L0 can tell a dead
L1 from a case that waits; results; and a case's requests to L0 with their answers. It is process 1, so
whatever a case leaves behind becomes its child, and is found, reported and killed.
"""

import json
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from l1 import case as cases  # noqa: E402
from l1 import clock, host, kernel_log, process  # noqa: E402
from l1.lab import CASE_FOLDER, Lab  # noqa: E402

MODULES = ["kvm-amd", "vfio-pci", "vfio_iommu_type1", "nvme", "e1000e", "e1000", "8139too", "xhci_pci"]
ATTACHMENT_LIMIT = 200_000
HEARTBEAT = 1.0


class Port:
    """The port to L0, as JSON lines: virtio-serial, or a plain serial port where lab_port names one."""

    def __init__(self):
        serial = os.environ.get("lab_port")
        self._fd = os.open(serial or self._node(), os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        self._pending = b""
        if serial:
            subprocess.run(["/bin/busybox", "stty", "-F", serial, "115200", "raw", "-echo"], check=True)

    @staticmethod
    def _node():
        for name in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
            if name.read_text().strip() == "lab":
                return f"/dev/{name.parent.name}"
        raise SystemExit("lab: no virtio-serial port called lab")

    def fileno(self):
        return self._fd

    def send(self, **message):
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._fd, data):]

    def receive(self):
        """Every message that is complete."""
        self._pending += os.read(self._fd, 1 << 16)
        *rows, self._pending = self._pending.split(b"\n")
        return [json.loads(row) for row in rows]


class Running:
    """A case in its process."""

    def __init__(self, case, request):
        self.case = case
        self.started = clock.now()
        self.deadline = self.started + request["deadline"]
        self.status = None
        self.sock, child_sock = socket.socketpair()
        self.kernel_log = kernel_log.Mark()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.sock.close()
            _child(case, request, child_sock)
        child_sock.close()


def _child(case, request, sock):
    """Run one case; its verdict goes into result.json, an exception's traceback with it."""
    result = {"status": "fail", "message": "the case's process died"}
    try:
        os.setsid()
        log = os.open(CASE_FOLDER / "case.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        lab = Lab(case, request, sock)
        try:
            case.function(lab)
            result = {"status": "pass", "message": ""}
        except cases.Skip as reason:
            result = {"status": "skip", "message": str(reason)}
        except cases.Failure as failure:
            place = traceback.extract_tb(failure.__traceback__)
            where = next((f for f in reversed(place) if "/cases/" in f.filename), place[-1])
            result = {"status": "fail",
                      "message": f"{failure}\n(in {os.path.basename(where.filename)} line {where.lineno}: "
                                 f"{where.line})"}
        except BaseException:
            result = {"status": "fail", "message": traceback.format_exc()}
        lab.close()
        result["note"] = lab.summary
    finally:
        (CASE_FOLDER / "result.json").write_text(json.dumps(result))
        sys.stdout.flush()
        os._exit(0)


class Agent:
    def __init__(self):
        self.port = Port()
        self.cases = cases.load()
        self.running = None
        self.next_heartbeat = 0
        self.devices = host.Snapshot()
        self.port.send(type="ready")

    def serve(self):
        while True:
            self._heartbeat()
            with selectors.DefaultSelector() as selector:
                selector.register(self.port, selectors.EVENT_READ)
                if self.running and self.running.sock:
                    selector.register(self.running.sock, selectors.EVENT_READ)
                ready = [key.fileobj for key, _ in selector.select(0.05 if self.running else HEARTBEAT)]
            if self.port in ready:
                for message in self.port.receive():
                    self._message(message)
            if self.running and self.running.sock in ready:
                self._from_case()
            self._reap()
            if self.running and self.running.status is None and clock.now() > self.running.deadline:
                self._end_overdue()
            if self.running and self.running.status is not None:
                self._finish()

    def _heartbeat(self):
        now = time.monotonic()
        if now >= self.next_heartbeat:
            self.next_heartbeat = now + HEARTBEAT
            self.port.send(type="alive")

    def _message(self, message):
        if message["type"] == "stolen":
            clock.set_stolen(message["seconds"])
        elif message["type"] == "run":
            process.clear_folder(CASE_FOLDER)
            self.running = Running(self.cases[message["case"]], message)
        elif message["type"] == "answer" and self.running and self.running.sock:
            self.running.sock.sendall(json.dumps(message["value"]).encode() + b"\n")

    def _from_case(self):
        row = self.running.sock.makefile("rb").readline() if self.running.sock else b""
        if row:
            self.port.send(type="request", **json.loads(row))
        else:
            self.running.sock.close()
            self.running.sock = None

    def _reap(self):
        """Collect every dead child, adopted ones too; remember how the case's process ended."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if self.running and ended[0] == self.running.pid:
                    self.running.status = ended[1]
        except ChildProcessError:
            pass

    def _end_overdue(self):
        """A case out of time: note what everything was doing, then end it."""
        (CASE_FOLDER / "overdue.log").write_text("".join(map(process.describe, process.user_processes())))
        os.kill(self.running.pid, signal.SIGKILL)
        self.running.status = os.waitpid(self.running.pid, 0)[1]
        seconds = int(self.running.deadline - self.running.started)
        (CASE_FOLDER / "result.json").write_text(json.dumps(
            {"status": "fail", "message": f"still running after its deadline of {seconds} s"}))

    def _finish(self):
        running, self.running = self.running, None
        result = self._result(running)
        problems = []
        if left := process.end_all():
            if result["status"] != "fail":
                problems.append("processes left behind: " + ", ".join(left))
        # A VMM that was killed leaves its socket's name, which another user could not remove.
        for name in pathlib.Path("/tmp").glob("*.sock"):
            name.unlink()
        problems += running.kernel_log.problems(running.case.allow)
        dirty = self.devices.restore()
        if problems and result["status"] != "skip":
            result["message"] = "\n".join([result["message"], *problems]).strip()
            result["status"] = "fail"
        attachments = {}
        if result["status"] == "fail":
            attachments = {path.name: path.read_text(errors="replace")[-ATTACHMENT_LIMIT:]
                           for path in sorted(CASE_FOLDER.glob("*.log"))}
            attachments["L1 dmesg"] = running.kernel_log.text()[-ATTACHMENT_LIMIT:]
        self.port.send(type="result", case=running.case.name, status=result["status"],
                       message=result["message"], note=result.get("note", ""),
                       seconds=round(clock.now() - running.started, 1),
                       dirty=dirty, attachments=attachments)

    @staticmethod
    def _result(running):
        try:
            return json.loads((CASE_FOLDER / "result.json").read_text())
        except (OSError, ValueError):
            return {"status": "fail", "message": f"the case's process ended with wait status {running.status:#x}"}


def prepare():
    """L1 becomes a host: drivers loaded, kernel and initramfs of guests in memory, names resolvable."""
    release = os.uname().release
    modules = pathlib.Path("/lib/modules")
    modules.mkdir(exist_ok=True)
    link, own = modules / release, pathlib.Path(os.environ["lab_kernel"]) / "lib/modules" / release
    if own.exists():        # or everything is built in
        if not link.exists():
            link.symlink_to(own)
        subprocess.run(["/sbin/modprobe", "-a", *MODULES], check=False)
    host.settle()
    CASE_FOLDER.mkdir(parents=True, exist_ok=True)


def main():
    clock.set_stolen(0)
    prepare()
    if os.environ.get("lab_shell"):
        print("\nThis is L1: devices in /sys/bus/pci, the VMM and the guest's files as in docs/lab.md. "
              "Ctrl-A X ends it.\n", flush=True)
        subprocess.run(["/usr/bin/setsid", "-c", "/bin/bash", "-l"], cwd=os.environ["lab_repo"])
        subprocess.run(["/bin/busybox", "poweroff", "-f"])
        return
    Agent().serve()


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        subprocess.run(["/bin/busybox", "poweroff", "-f"])

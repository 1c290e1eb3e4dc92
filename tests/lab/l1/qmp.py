# SPDX-License-Identifier: Apache-2.0
"""A small QMP client for the VMM under test."""

import json
import select
import socket
import time

from l1 import clock
from l1.case import Failure


class QmpError(Failure):
    """The server answered with an error."""

    def __init__(self, error):
        super().__init__(f"{error.get('class')}: {error.get('desc')}")
        self.error_class = error.get("class")
        self.desc = error.get("desc", "")


class Qmp:
    """The server is at a path or a (host, port).

    Events that come before a command's return are kept; each message gets the time it arrived ("at")."""

    def __init__(self, path, timeout=30, negotiate=True):
        self._sock = self._connect(path, timeout)
        self._pending = b""
        self.events = []
        self.greeting = self.receive(timeout)["QMP"]
        if negotiate:
            self.cmd("qmp_capabilities")

    @staticmethod
    def _connect(path, timeout):
        end = clock.now() + timeout
        while True:
            tcp = isinstance(path, tuple)
            sock = socket.socket(socket.AF_INET6 if tcp and ":" in path[0] else
                                 socket.AF_INET if tcp else socket.AF_UNIX)
            try:
                sock.connect(path if tcp else str(path))
                return sock
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                if clock.now() > end:
                    raise Failure(f"no QMP server at {path} after {timeout} s") from None
                time.sleep(0.02)

    def send_raw(self, data):
        self._sock.sendall(data)

    def receive(self, timeout):
        """The next message of any kind."""
        end = clock.now() + timeout
        while b"\n" not in self._pending:
            if clock.now() >= end:
                raise Failure(f"QMP said nothing for {timeout} s")
            if select.select([self._sock], [], [], 0.5)[0]:
                data = self._sock.recv(1 << 16)
                if not data:
                    raise Failure("QMP closed the connection")
                self._pending += data
        row, _, self._pending = self._pending.partition(b"\n")
        message = json.loads(row.decode("ascii"))     # as QEMU writes it
        message["at"] = time.monotonic()
        return message

    def start(self, command, arguments=None, id=None, fds=()):
        """Send a command without waiting for its answer; file descriptors go with it."""
        message = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        if id is not None:
            message["id"] = id
        data = json.dumps(message).encode() + b"\r\n"
        if fds:
            socket.send_fds(self._sock, [data], fds)
        else:
            self.send_raw(data)

    def answer(self, timeout=60):
        """The next answer; events before it are kept. A QmpError when it is an error."""
        end = clock.now() + timeout
        while True:
            message = self.receive(max(0, end - clock.now()))
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QmpError(message["error"])
            else:
                return message

    def cmd(self, command, arguments=None, timeout=60, fds=(), **more):
        """Run a command; its return value. Names with dashes go into the dictionary."""
        self.start(command, {**(arguments or {}), **more}, fds=fds)
        return self.answer(timeout)["return"]

    def wait_event(self, name, timeout=60, **data):
        """The first kept or coming event of this name whose data has these members; it is taken away."""
        end = clock.now() + timeout
        while True:
            for event in self.events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self.events.remove(event)
                    return event
            left = end - clock.now()
            if left <= 0:
                raise Failure(f"no event {name} {data or ''} within {timeout} s; seen: {self.events}")
            message = self.receive(left)
            if "event" in message:
                self.events.append(message)

    def close(self):
        self._sock.close()

# SPDX-License-Identifier: Apache-2.0
"""What a case is given: the host's devices, the means to start the program under test, a line to L0."""

import json
import pathlib
import shutil
import socket
import subprocess

from l1 import host, process
from l1.case import Failure, Skip, check
from l1.guest import Guest
from l1.vmm import Options, Vmm

CASE_FOLDER = pathlib.Path("/run/lab/case")
GUEST_FOLDER = pathlib.Path("/run/lab/guest")


class Lab:
    def __init__(self, case, request, sock):
        self.case = case
        self.vmm_kind = request["vmm"]
        self.summary = ""
        self._paths = request["paths"]
        self._append = request.get("l2_append", "")
        self._vmms = []
        self._consoles = []
        self.directory = CASE_FOLDER
        self.host = LabHost(request["devices"])
        self.l0 = L0(sock)

    # -- files of the guest ---------------------------------------------------------------------

    @property
    def program(self):
        """The VMM under test, in memory and executable by anybody; QEMU stays beside its firmware."""
        return pathlib.Path(self._paths["program"]) if self.vmm_kind == "qemu" else self._local("program")

    def _program(self, kind):
        return self.program if kind == self.vmm_kind else pathlib.Path(shutil.which(f"{kind}-system-x86_64"))

    @property
    def kernel(self):
        return self._local("kernel")

    @property
    def vmlinux(self):
        """The same kernel as a PVH ELF."""
        return self._local("vmlinux")

    @property
    def initrd(self):
        return self._local("initrd")

    def _local(self, what):
        """A copy in tmpfs: quick to read, readable without privileges, and the same for the whole L1."""
        GUEST_FOLDER.mkdir(parents=True, exist_ok=True)
        target = GUEST_FOLDER / what
        if not target.exists():
            scratch = target.with_suffix(".new")
            shutil.copyfile(self._paths[what], scratch)
            scratch.chmod(0o755)
            scratch.rename(target)
        return target

    # -- the program under test -----------------------------------------------------------------

    def vmm(self, *arguments, **options):
        """Start the VMM; a context manager that makes sure it is gone at the end. See vmm.Options.

        kind="qemu" starts QEMU beside the program under test, to compare them.
        """
        kind = options.pop("kind", self.vmm_kind)
        options.setdefault("kernel", self.vmlinux)      # boots 4 s sooner here than the compressed one
        options.setdefault("initrd", self.initrd)
        if self._append:
            options["append"] = f"{options.get('append', '')} {self._append}".strip()
        vmm = Vmm(self._program(kind), kind, Options(**options), arguments,
                  self.directory / f"vmm{len(self._vmms)}")
        self._vmms.append(vmm)
        vmm.start()
        return vmm

    def refused(self, *arguments, mentions=(), **options):
        """Start the VMM with bad input: it must end with status 1, say why, and leave the host as it was.

        `mentions` are the facts the message must contain; a tuple among them is a choice. Returns the message.
        """
        before = host.Snapshot()
        options.setdefault("ready", False)
        with self.vmm(*arguments, **options) as vmm:
            status = vmm.wait_exit(60)
            message = vmm.stderr()
        check(status == 1, f"expected exit status 1, got {status}; it said: {message!r}")
        check(message.strip(), "it said nothing on stderr")
        for fact in mentions:
            choices = fact if isinstance(fact, tuple) else (fact,)
            check(any(str(choice).lower() in message.lower() for choice in choices),
                  f"the message does not mention {' or '.join(map(repr, choices))}; it says: {message!r}")
        changes = before.differences()
        check(not changes, f"the host's drivers changed: {changes}")
        return message

    def attach_console(self, path, timeout=30):
        """The guest behind a VMM's `-serial unix:PATH,server,nowait`."""
        sock = socket.socket(socket.AF_UNIX)

        def connected():
            try:
                sock.connect(str(path))
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        host.wait_for(connected, timeout, f"a console at {path}")
        self._consoles.append(Guest(sock.detach(), self.directory / f"{pathlib.Path(path).stem}-console.log",
                                    lambda: "unknown"))
        return self._consoles[-1]

    @staticmethod
    def alive(pid):
        fields = process.stat_fields(pathlib.Path(f"/proc/{pid}"))
        return bool(fields) and fields["state"] not in "ZX"

    # -- odds and ends --------------------------------------------------------------------------

    def shell(self, command, check_status=True):
        """Run a command in L1; its output."""
        done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check_status and done.returncode:
            raise Failure(f"in L1, {command!r} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def note(self, text):
        """A figure worth printing beside the case's `ok`."""
        self.summary = f"{self.summary}; {text}" if self.summary else text

    def skip(self, reason):
        raise Skip(reason)

    def close(self):
        for vmm in self._vmms:
            vmm.close()
        for console in self._consoles:
            console.close()


class LabHost:
    """The devices of this L1, by the names labkit.hosts gives them."""

    def __init__(self, places):
        self._places = places

    def names(self):
        return list(self._places)

    def pci(self, name):
        device = host.located(self._places[name], self._places)
        device.name = name
        return device

    @staticmethod
    def processes():
        return process.user_processes()


class L0:
    """Requests to the machine around L1."""

    def __init__(self, sock):
        self._file = sock.makefile("rwb")

    def _ask(self, **request):
        self._file.write(json.dumps(request).encode() + b"\n")
        self._file.flush()
        answer = json.loads(self._file.readline())
        if "error" in answer:
            raise Failure(f"L0 refused {request}: {answer['error']}")
        return answer["value"]

    def qmp(self, command, **arguments):
        """A command to the QEMU that is L1's hardware."""
        return self._ask(op="qmp", command=command, arguments=arguments)

    def monitor(self, line):
        """The same in the human monitor's words, for what QMP lacks (pcie_aer_inject_error)."""
        return self.qmp("human-monitor-command", **{"command-line": line})

    def pull(self, device):
        """Take a device out of L1; the drivers that have it are asked to let go first."""
        self.qmp("device_del", id=device)

    def push_back(self, device):
        """Put a drive that was pulled back where it was, once it is gone."""
        self._ask(op="push-back", device=device)

    def set_link(self, device, up):
        self.qmp("set_link", name=f"{device}-backend", up=up)

    def image_checksum(self, device, size, offset=0):
        """SHA-256 of part of a drive's image file, as L0 sees it."""
        return self._ask(op="image-checksum", device=device, size=size, offset=offset)

    def say(self, text):
        """A line for whoever watches the run."""
        self._ask(op="say", text=text)

    def write_image(self, device, data, offset=0):
        return self._ask(op="image-write", device=device, hex=data.hex(), offset=offset)

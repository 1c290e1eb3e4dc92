# SPDX-License-Identifier: Apache-2.0
"""QMP byte by byte: framing, several clients, file descriptors, and replies in QEMU's words."""

import array
import json
import os
import shutil
import socket
import stat
import time

from l1.case import case, check, check_equal, log
from l1.qmp import Qmp

SOCKET = "/tmp/qmp.sock"
PORT_NUMBER = 4444
UUID = "5ed1f00d-0123-4567-89ab-cdef01234567"
PORTS = ["pcie-root-port,id=rp1,addr=0x1,chassis=1", "pcie-root-port,id=rp2,addr=0x2,chassis=2"]
NAME = b'"execute": "query-name"'
OURS = ("portcullis",)

# What is sent, and of each answer that must come: its id, its return or what its error mentions.
NAMED = {"name": "wire"}
TALK = (
    (b"{" + NAME + b', "id": 1}{' + NAME + b', "id": [null, 1.50]}\n\r{' + NAME + b"}",
     [(1, NAMED), ([None, 1.5], NAMED), (None, NAMED)]),
    (b"{" + NAME + rb', "id": "\u00e9\ud83d\ude00\"\\"}', [('é😀"\\', NAMED)]),
    (b"{" + NAME + '", "id": "é"}'.encode()[1:], [("é", NAMED)]),
    (rb"""{'execute': 'query-name', "id": 'it\'s "}{'}""", [('it\'s "}{', NAMED)]),
    (b"{" + NAME + rb', "id": "\ud83d"}', [(None, "surrogate")]),
    (b"{" + NAME + b', "id": "\xed\xa0\x80"}', [(None, "UTF-8")]),
    (b"{" + NAME + b', "id": ' + b"[" * 70 + b"]" * 70 + b"}", [(None, "nested too deeply")]),
    (b"{" + NAME + b', "id": "' + b"x" * (1 << 20) + b'"}', [(None, "too large")]),
    (b"nonsense {" + NAME + b', "id": 2}', [(None, "JSON parse error"), (2, NAMED)]),
    (b'{"execute": "query-name", "arguments": {"a": 1}, "id": 3}', [(3, "'a' is unexpected")]),
    (b'{"execute": "device_del", "id": 4}', [(4, "'id' is missing")]),
    (b'{"execute": "device_del", "arguments": {"id": 5}}', [(None, "'id', expected: string")]),
    (b'{"execute": "qmp_capabilities", "id": 5}', [(5, "already complete")]),
    (b'{"execute": "no-such", "id": 6}', [(6, "no-such has not been found")]),
    (b'{"exec-oob": "query-name", "id": 7}', [(7, "'exec-oob' is unexpected")]),
)


def answers(client, sent, expected):
    client.send_raw(sent)
    for number, result in expected:
        message = client.receive(30)
        check_equal(message.get("id"), number, f"id of the answer to {sent[:80]!r}")
        if isinstance(result, str):
            check(result in message.get("error", {}).get("desc", ""), f"{message} does not mention {result!r}")
        else:
            check_equal(message.get("return"), result, f"answer to {sent[:80]!r}")


def in_pieces(client):
    for byte in b"{" + NAME + b', "id": "pieces"}':
        client.send_raw(bytes([byte]))
        time.sleep(0.001)
    answers(client, b"", [("pieces", NAMED)])


def send_fds(client, fds, data):
    client._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


def file_descriptors(vmm, client):
    """Fds that come with commands are named, listed, closed; none is left behind or mistaken for another."""
    before, null = vmm.fd_count(), os.open("/dev/null", os.O_RDONLY)
    send_fds(client, [null] * 20, b"{" + NAME + b"}")   # asked for by nobody, and more than are kept
    answers(client, b"", [(None, NAMED)])
    send_fds(client, [null], b'{"execute": "getfd", "arguments": {"fdname": "a"}}')
    answers(client, b"", [(None, {})])
    send_fds(client, [null], b'{"execute": ')
    send = b'"add-fd", "arguments": {"fdset-id": 3, "opaque": "mine"}}'
    client.send_raw(send)
    number = client.receive(30)["return"]["fd"]
    check_equal(client.cmd("query-fdsets"), [{"fdset-id": 3, "fds": [{"fd": number, "opaque": "mine"}]}], "fd sets")
    check_equal(os.readlink(f"/proc/{vmm.pid}/fd/{number}"), "/dev/null", "what the fd is")
    check_equal(vmm.fd_count(), before + 2, "fds with two of the client's")
    client.cmd("remove-fd", {"fdset-id": 3})
    client.cmd("closefd", fdname="a")
    os.close(null)
    check_equal(vmm.fd_count(), before, "fds at the end")


def deaf_client(client):
    """One that only talks is not read any more; the others go on."""
    deaf = Qmp(SOCKET)
    deaf._sock.setblocking(False)
    sent, question = 0, b'{"execute": "query-qmp-schema"}' * 100
    try:
        while sent < 64 << 20:
            sent += deaf._sock.send(question)
    except BlockingIOError:
        pass
    check(sent < 64 << 20, "a client that reads nothing could send 64 MiB")
    client.cmd("query-status")
    deaf.close()


def everybody_hears(clients, name, data):
    for client in clients:
        event = client.wait_event(name, timeout=60)
        check_equal(event.get("data"), data, f"data of {name}")
        check(set(event["timestamp"]) == {"seconds", "microseconds"}, f"timestamp of {event}")


def guest_view(guest):
    """{(bus, slot, function): (class, vendor, device, {BAR: (address, size)})} by the guest's own registers."""
    rows = guest.check("cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/class $d/vendor $d/device) "
                       "$(awk 'NR < 7 && $3 !~ /^0x0*$/ { print NR - 1, $1, $2 }' $d/resource); done")
    found = {}
    for row in rows.splitlines():
        bdf, class_code, vendor, device, *resources = row.split()
        bus, slot = bdf.split(":")[1], bdf.split(":")[2]
        bars = {}
        for index, start, end in zip(*[iter(resources)] * 3):
            bars[int(index)] = (int(start, 16), int(end, 16) - int(start, 16) + 1)
        found[(int(bus, 16), int(slot[:2], 16), int(slot[3]))] = (
            int(class_code, 16) >> 8, int(vendor, 16), int(device, 16), bars)
    return found


def our_view(devices):
    found = {}
    for device in devices:
        bars = {region["bar"]: (region["address"], region["size"]) for region in device["regions"] if region["bar"] < 6}
        found[(device["bus"], device["slot"], device["function"])] = (
            device["class_info"]["class"], device["id"]["vendor"], device["id"]["device"], bars)
        found |= our_view(device.get("pci_bridge", {}).get("devices", []))
    return found


def send_and_leave(*commands):
    """A script's way: nothing is read, and the socket is closed when the last byte is sent."""
    words = [{"execute": "qmp_capabilities"}]
    words += [{"execute": name, "arguments": arguments} for name, arguments in commands]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(SOCKET)
        sock.sendall(b"\r\n".join(json.dumps(word).encode() for word in words))


@case(vmms=OURS)
def qmp_send_and_leave(lab):
    """Clients send device_del, system_powerdown behind it, or quit, and are gone: it is done, in that order."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    devices = [PORTS[0], f"vfio-pci,host={drive.bdf},id=drive,bus=rp1"]
    with lab.vmm("-qmp", f"unix:{SOCKET},server,nowait", devices=devices) as vmm:
        other = Qmp(SOCKET)
        before = vmm.fd_count()
        send_and_leave(("device_del", {"id": "drive"}), ("query-name", {}), ("system_powerdown", {}))
        other.wait_event("POWERDOWN")
        check([event["event"] for event in other.events] == ["DEVICE_DELETED"],
              f"before the power button: {other.events}")
        check(vmm.fd_count() < before, "the client's socket is closed, and the device is")
        other.wait_event("SHUTDOWN")
        check_equal(vmm.wait_exit(), 0, "exit status")
    # The second machine's socket is made by whoever starts it, as Kata's runtime does.
    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind(SOCKET)
        ours.listen()
        with lab.vmm("-S", "-qmp", f"unix:fd={ours.fileno()},server=on,wait=off", ready=False,
                     fds=[ours.fileno()]) as vmm:
            Qmp(SOCKET).close()
            send_and_leave(("quit", {}))
            check_equal(vmm.wait_exit(), 0, "exit status")
        check(os.path.exists(SOCKET), "the name of a socket that was handed over stays")


@case(vmms=OURS)
def qmp_session(lab):
    """Several clients with one guest, from before its start to its end: framing, fds, events, query-pci."""
    edu, drive = lab.host.pci("edu0"), lab.host.pci("nvme0")
    edu.bind_vfio()
    drive.bind_vfio()
    devices = [f"vfio-pci,host={edu.bdf},id=edu,bus=pcie.0,addr=0x5", *PORTS,
               f"vfio-pci,host={drive.bdf},id=drive,bus=rp2"]
    arguments = ["-S", "-qmp", f"unix:{SOCKET},server,nowait", "-qmp", f"tcp:[::1]:{PORT_NUMBER},server,nowait",
                 "-name", "wire", "-uuid", UUID]
    with lab.vmm(*arguments, devices=devices, ready=False) as vmm:
        first, second, third = Qmp(SOCKET), Qmp(SOCKET), Qmp(("::1", PORT_NUMBER))
        silent = Qmp(SOCKET, negotiate=False)
        check_equal(stat.S_IMODE(os.stat(SOCKET).st_mode), 0o600, "mode of the socket")
        answers(silent, b"{" + NAME + b', "id": 1}', [(1, "negotiation")])
        for client in (first, third):
            for sent, expected in TALK:
                answers(client, sent, expected)
            in_pieces(client)
            log("the talk is over")
        file_descriptors(vmm, first)
        deaf_client(second)
        log("the deaf one is gone")
        check_equal(second.cmd("query-uuid"), {"UUID": UUID}, "UUID")
        check_equal(second.cmd("query-status")["status"], "prelaunch", "state before cont")
        everybody = (first, second, third)
        first.cmd("cont")
        everybody_hears(everybody, "RESUME", None)
        first.cmd("stop")
        everybody_hears(everybody, "STOP", None)
        check_equal(second.cmd("query-status"), {"running": False, "singlestep": False, "status": "paused"}, "state")
        second.cmd("system_reset")
        everybody_hears(everybody, "RESET", {"guest": False, "reason": "host-qmp-system-reset"})
        check_equal(second.cmd("query-status")["status"], "prelaunch", "state after the reset of a paused guest")
        third.cmd("cont")
        everybody_hears(everybody, "RESUME", None)
        vmm.guest.wait_ready()
        check_equal(vmm.guest.check("cat /sys/class/dmi/id/product_uuid"), UUID, "the UUID in the guest's SMBIOS")
        buses = first.cmd("query-pci")
        check_equal([bus["bus"] for bus in buses], [0], "root buses")
        check_equal(our_view(buses[0]["devices"]), guest_view(vmm.guest), "PCI as QMP and as the guest see it")
        first.cmd("system_powerdown")
        everybody_hears(everybody, "POWERDOWN", None)
        everybody_hears(everybody, "SHUTDOWN", {"guest": True, "reason": "guest-shutdown"})
        check_equal(vmm.wait_exit(60), 0, "exit status")
        check(not os.path.exists(SOCKET), "the socket was left behind")
        told = silent._sock.recv(4096)
        check_equal(told, b"", "what a client that had not negotiated was told")


# --- what clients of QEMU expect ---------------------------------------------------------------

JSON_TYPES = {"string": str, "int": int, "number": (int, float), "boolean": bool, "null": type(None),
              "object": dict, "array": list, "value": object}


class Schema:
    """A program's own description of its protocol, and whether values are what it says."""

    def __init__(self, client):
        self.entries = {entry["name"]: entry for entry in client.cmd("query-qmp-schema")}

    def misfits(self, type_name, value, where):
        entry = self.entries[type_name]
        return getattr(self, "_" + entry["meta-type"])(entry, value, where)

    @staticmethod
    def _builtin(entry, value, where):
        kind = JSON_TYPES[entry["json-type"]]
        fits = isinstance(value, kind) and not (isinstance(value, bool) and kind is int)
        return [] if fits else [f"{where} is {value!r}, not {entry['json-type']}"]

    @staticmethod
    def _enum(entry, value, where):
        known = {member["name"] for member in entry["members"]}
        return [] if value in known else [f"{where} is {value!r}, not of {sorted(known)}"]

    def _array(self, entry, value, where):
        if not isinstance(value, list):
            return [f"{where} is no array"]
        return [text for at, element in enumerate(value)
                for text in self.misfits(entry["element-type"], element, f"{where}[{at}]")]

    def _alternate(self, entry, value, where):
        fits = any(not self.misfits(member["type"], value, where) for member in entry["members"])
        return [] if fits else [f"{where} is {value!r}, none of the alternatives"]

    def _object(self, entry, value, where):
        if not isinstance(value, dict):
            return [f"{where} is no object"]
        members = {member["name"]: member for member in entry["members"]}
        for variant in entry.get("variants", []):
            if value.get(entry["tag"]) == variant["case"]:
                members |= {member["name"]: member for member in self.entries[variant["type"]]["members"]}
        out = [f"{where}.{name} is missing" for name, member in members.items()
               if name not in value and "default" not in member]
        for name, part in value.items():
            if name in members:
                out += self.misfits(members[name]["type"], part, f"{where}.{name}")
            else:
                out.append(f"{where}.{name} is not in the schema")
        return out


# query-cpus and query-events have left QEMU.
QUERIES = ("query-version", "query-commands", "query-events", "query-status", "query-name", "query-uuid", "query-kvm",
           "query-machines", "query-target", "query-cpus-fast", "query-pci", "query-fdsets", "query-qmp-schema")
EVENTS = ("SHUTDOWN", "POWERDOWN", "RESET", "STOP", "RESUME", "DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR")


@case(vmms=OURS)
def qmp_schema_of_qemu(lab):
    """Every reply fits our own schema and QEMU's; commands and events take and carry what QEMU's do."""
    program = shutil.which("qemu-system-x86_64")
    if not program:
        lab.skip("no QEMU on this machine")
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    theirs_at = "/tmp/qemu.sock"
    port = PORTS[0]
    with lab.vmm("-S", "-qmp", f"unix:{SOCKET},server,nowait", ready=False, smp="2",
                 devices=[port, f"vfio-pci,host={drive.bdf},id=drive,bus=rp1"]), \
         lab.vmm("-M", "q35", "-accel", "kvm", "-S", "-nodefaults", "-display", "none", "-device", port,
                 "-qmp", f"unix:{theirs_at},server,nowait", program=program, bare=True, ready=False):
        ours, theirs = Qmp(SOCKET), Qmp(theirs_at)
        own, qemu = Schema(ours), Schema(theirs)
        wrong = []
        for command in QUERIES:
            value = ours.cmd(command)
            wrong += own.misfits(own.entries[command]["ret-type"], value, command)
            if command in qemu.entries:
                wrong += qemu.misfits(qemu.entries[command]["ret-type"], value, f"{command} as QEMU's")
        for command, arguments in (("query-cpus", {}), ("query-vfio", {}),
                                   ("device-list-properties", {"typename": "vfio-pci"})):
            wrong += own.misfits(own.entries[command]["ret-type"], ours.cmd(command, arguments), command)
        for name, entry in own.entries.items():
            wrong += arguments_differ(own, qemu, name, entry)
        check(not wrong, "\n".join(wrong))
        lab.note(f"{sum(entry['meta-type'] == 'command' for entry in own.entries.values())} commands")
        check_equal(set(EVENTS) - {event["name"] for event in ours.cmd("query-events")}, set(), "missing events")
        ours.cmd("quit")
        check_equal(ours.wait_event("SHUTDOWN")["data"], {"guest": False, "reason": "host-qmp-quit"}, "the end")


def arguments_differ(own, qemu, name, entry):
    """What QEMU's clients may give to a command they may give to ours, and need give no more."""
    known = qemu.entries.get(name)
    if not known or entry["meta-type"] not in ("command", "event") or name == "device_add":
        return []
    mine = {member["name"]: member for member in own.entries[entry["arg-type"]]["members"]}
    out = []
    for member in qemu.entries[known["arg-type"]]["members"]:
        if member["name"] not in mine:
            out.append(f"{name} does not know {member['name']}")
        elif entry["meta-type"] == "event" and "default" in mine[member["name"]] and "default" not in member:
            out.append(f"{name} may lack {member['name']}")
    needed = {member["name"] for member in qemu.entries[known["arg-type"]]["members"] if "default" not in member}
    if entry["meta-type"] == "command":
        out += [f"{name} needs {member}" for member, about in mine.items()
                if "default" not in about and member not in needed]
    return out

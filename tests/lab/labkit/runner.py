# SPDX-License-Identifier: Apache-2.0
"""Runs cases in L1s: one boot for many cases, some L1s side by side, reruns when the lab itself failed."""

import collections
import dataclasses
import hashlib
import math
import threading
import time

from . import bochs, l0, report
from .hosts import HOSTS
from .iommufd_kernel import Unavailable
from .l0 import LabFault

NUDGE = 1 / 6           # of the time without a sign of life after which L1 counts as dead
GRACE = 60              # seconds beyond a case's deadline for L1's agent to end it by itself


@dataclasses.dataclass
class Result:
    name: str
    status: str             # pass, fail, skip
    seconds: float = 0
    message: str = ""
    note: str = ""
    said: dict = dataclasses.field(default_factory=dict)    # who: text
    reruns: int = 0


@dataclasses.dataclass
class Settings:
    """What all the cases of a run have in common."""

    vmm: str                # portcullis or qemu
    paths: dict             # program, kernel, vmlinux, initrd: as L1 sees them, which is as we do
    folder: object          # for logs
    kernels: dict           # of L1s, as setup.host_kernels() makes it
    jobs: int = 1           # L1s side by side
    scale: float = 1        # of deadlines
    l2_append: str = ""     # for the guests' kernels
    announce: bool = True   # a line per case that passes


class Runner:
    def __init__(self, cases, settings):
        self._settings = settings
        self._queues = collections.OrderedDict()
        # Long ones first, so that none of them is alone at the end; deadlines tell which they are.
        for case in sorted(cases, key=lambda case: -case.deadline):
            self._queues.setdefault(case.host, collections.deque()).append(case)
        self._lock = threading.Lock()
        self._working = collections.Counter()   # L1s now running, by host
        self._faults = collections.Counter()    # lab faults, by case
        self._now = {}                          # what each worker does
        self._boots = 0
        self.results = []
        self.fault_texts = []
        self.woken = set()                      # cases in which L1 had stopped
        self.failed_event = threading.Event()

    def run(self):
        workers = [threading.Thread(target=self._work, args=(number,), daemon=True)
                   for number in range(self._settings.jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(0.5)
                self._show_status()
        report.status("")
        return self.results

    def _kernel(self, host_name, timeout=0):
        return self._settings.kernels[HOSTS[host_name].kernel].get(timeout)

    def _drop_impossible(self, host_name):
        """Cases whose L1 has no kernel: not to be had here is a skip, one that does not build is a failure."""
        error = self._kernel(host_name)
        status = "skip" if isinstance(error, Unavailable) else "fail"
        while case := self._next_case(host_name):
            self._record(Result(case.name, status, message=str(error) or repr(error)))

    def _show_status(self):
        with self._lock:
            left = sum(map(len, self._queues.values()))
            now = ", ".join(f"{what} {time.monotonic() - since:.0f}s" for what, since in self._now.values())
        report.status(f"    {now}; {left} to go" if now else "")

    # -- sharing out the work ----------------------------------------------------------------------

    def _next_host(self):
        """The host with the most cases left per L1 that serves it; a boot must be worth its while.

        Hosts whose kernel is still in the making come last: somebody waits for it when there is nothing else to do.
        """
        while True:
            with self._lock:
                names = [name for name, queue in self._queues.items() if queue]
            for name in names:
                if isinstance(self._kernel(name), Exception):
                    self._drop_impossible(name)
            later = [name for name in names if self._kernel(name) is None]
            choice = self._choose([name for name in names if name not in later])
            if choice or not later:
                return choice
            self._kernel(later[0], 1)

    def _choose(self, names):
        with self._lock:
            waiting = [(self._share(name), name) for name in names if self._queues[name]]
            share, name = max(waiting, default=(0, None))
            if name is None or (self._working[name] and share < 0.5):
                return None
            self._working[name] += 1
            return name

    def _share(self, name):
        """What one more L1 of this host would have to do; the lock is held."""
        if HOSTS[name].one_boot:
            return 0 if self._working[name] else math.inf
        return len(self._queues[name]) / (1 + self._working[name])

    def _next_case(self, host):
        with self._lock:
            queue = self._queues[host]
            return queue.popleft() if queue else None

    def _give_back(self, case):
        with self._lock:
            self._queues[case.host].appendleft(case)

    def _work(self, number):
        while host := self._next_host():
            try:
                self._one_boot(host, number)
            finally:
                with self._lock:
                    self._working[host] -= 1
                    self._now.pop(number, None)

    def _one_boot(self, host_name, worker):
        """Boot an L1 and run cases in it until none is left or it is spoilt."""
        first = self._next_case(host_name)
        if first is None:
            return
        with self._lock:
            self._boots += 1
            folder = self._settings.folder / f"l1-{self._boots}-{host_name}"
        host = HOSTS[host_name]
        l1 = self._make_l1(host, self._kernel(host_name), folder)
        case = first
        try:
            self._doing(worker, f"booting L1 ({host_name})")
            l1.start()
            l1.wait_ready()
            while case is not None:
                self._doing(worker, case.name)
                result, dirty = self._run_case(l1, case)
                case = None
                self._record(result)
                if dirty:
                    break
                case = self._next_case(host_name)
        except LabFault as fault:
            self._lab_fault(case, fault, l1)
        except Exception as error:      # a bug of the harness must not look like a pass
            self._record(Result(case.name if case else host_name, "fail", message=f"the harness failed: {error!r}",
                                said=l1.said()))
            raise
        finally:
            l1.stop()

    def _make_l1(self, host, kernel, folder):
        if host.kernel == "bochs":
            return bochs.L1(host, kernel, folder, self._settings.paths)
        return l0.L1(host, kernel, folder)

    def _doing(self, worker, what):
        with self._lock:
            self._now[worker] = (what, time.monotonic())

    # -- one case ----------------------------------------------------------------------------------

    def _run_case(self, l1, case):
        started = last_alive = last_word = l1.clock.now()
        deadline = case.deadline * self._settings.scale
        l1.channel.send({"type": "stolen", "seconds": l1.stolen()})
        l1.channel.send({"type": "run", "case": case.name, "vmm": self._settings.vmm, "deadline": deadline,
                         "paths": self._settings.paths, "l2_append": self._settings.l2_append,
                         "devices": {device.name: device.where() for device in l1.host.devices}})
        while True:
            message = l1.receive(1)
            now = l1.clock.now()
            if message:
                last_alive = now
                if message["type"] == "alive":
                    l1.channel.send({"type": "stolen", "seconds": l1.stolen()})
                elif message["type"] == "request":
                    last_word = now
                    l1.channel.send({"type": "answer", "value": _answer(l1, message)})
                elif message["type"] == "result":
                    said = {**l1.said(), **message["attachments"]} if message["status"] == "fail" else {}
                    return Result(case.name, message["status"], message["seconds"], message["message"],
                                  message["note"], said, self._faults[case.name]), message["dirty"]
            elif now - last_alive > l1.host.heartbeat * NUDGE:
                # L1 may have lost its timer's interrupt, and halted: any other one wakes it (docs/lab.md).
                l1.channel.send({"type": "stolen", "seconds": l1.stolen()})
                self.woken.add(case.name)
            if now - last_alive > l1.host.heartbeat:
                raise LabFault(f"no heartbeat from L1 for {l1.host.heartbeat} s ({l1.where()})")
            if l1.host.silence and now - last_word > l1.host.silence:
                raise LabFault(f"no word of the case for {l1.host.silence} s")
            if now - started > deadline * l1.host.pace + GRACE:
                text = f"still running {GRACE} s after its deadline of {deadline * l1.host.pace} s, with L1 alive"
                return Result(case.name, "fail", now - started, text, said=l1.said()), True

    def _lab_fault(self, case, fault, l1):
        """Run the case again in a fresh L1, unless it had its chances."""
        name = case.name if case else "(between cases)"
        self._faults[name] += 1
        fault = f"{fault}{_first_line(l1.said()[f'L0 ({l1.emulator})'])}"
        self.fault_texts.append(f"{name}: {fault} (logs in {l1.folder.name})")
        report.line(f"LAB FAULT  {name}: {fault}")
        if case is None:
            return
        if self._faults[name] <= l1.host.reruns:
            self._give_back(case)
        else:
            self._record(Result(name, "fail", message=f"the lab failed {l1.host.reruns + 1} times: {fault}",
                                said=l1.said(), reruns=l1.host.reruns))

    def _keep_logs(self, result):
        """Everything that was said, whole, for whoever needs more than the tails in the report."""
        folder = self._settings.folder / result.name
        folder.mkdir(exist_ok=True)
        for who, text in result.said.items():
            (folder / who.replace(" ", "-").replace("/", "-")).write_text(text)

    def _record(self, result):
        with self._lock:
            self.results.append(result)
        words = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}
        extra = f"  {result.note}" if result.note else ""
        if result.reruns:
            extra += f"  (after {result.reruns} lab fault{'s' if result.reruns > 1 else ''})"
        if result.status == "skip":
            extra = f"  {result.message}"
        if result.status == "pass" and not self._settings.announce:
            return
        report.line(f"{words[result.status]}  {result.name:<32} {result.seconds:6.1f}s{extra}")
        if result.status == "fail":
            report.line(_account(result))
            self._keep_logs(result)


def _first_line(text):
    return f": {text.strip().splitlines()[0]}" if text.strip() else ""


def _account(result):
    """A failed case: what went wrong, and what everybody said."""
    rows = [f"    {row}" for row in result.message.splitlines()]
    for who, text in result.said.items():
        rows.append(report.section(_speaker(who), text))
    return "\n".join(rows)


def _speaker(who):
    for suffix, meaning in (("-console.log", "L2 console"), ("-stderr.log", "the VMM's stderr"),
                            ("-guest-dmesg.log", "L2 dmesg"), ("-command.log", "the VMM's command line"),
                            ("-threads.log", "the VMM's threads")):
        if who.endswith(suffix):
            return f"{meaning} ({who.removesuffix(suffix)})"
    return who


def _answer(l1, message):
    """A case's request to L0."""
    try:
        return {"value": _REQUESTS[message["op"]](l1, message)}
    except LabFault:
        raise
    except Exception as error:
        return {"error": repr(error)}


def _qmp(l1, message):
    if l1.qmp is None:
        raise ValueError(f"{l1.emulator} has no QMP")
    reply = l1.qmp.command(message["command"], message["arguments"])
    if "error" in reply:
        raise ValueError(reply["error"]["desc"])
    return reply["return"]


def _device(l1, message):
    return next(device for device in l1.host.devices if device.name == message["device"])


def _push_back(l1, message):
    """A drive that was pulled with device_del comes back: its backend went with it."""
    device = _device(l1, message)
    end = time.monotonic() + 30
    while time.monotonic() < end and any(child["name"] == device.name for child in l1.qmp.command(
            "qom-list", {"path": "/machine/peripheral"})["return"]):
        time.sleep(0.1)
    l1.qmp.command("human-monitor-command", {"command-line": f"drive_add 0 {device.drive_words(l1.folder)}"})
    reply = l1.qmp.command("device_add", device.hot_plug_words())
    if "error" in reply:
        raise ValueError(reply["error"]["desc"])


def _image(l1, message):
    return _device(l1, message).image(l1.folder)


def _image_checksum(l1, message):
    with open(_image(l1, message), "rb") as image:
        image.seek(message["offset"])
        return hashlib.sha256(image.read(message["size"])).hexdigest()


def _image_write(l1, message):
    with open(_image(l1, message), "r+b") as image:
        image.seek(message["offset"])
        image.write(bytes.fromhex(message["hex"]))


def _say(l1, message):
    report.line(message["text"])


_REQUESTS = {"say": _say, "qmp": _qmp, "push-back": _push_back, "image-checksum": _image_checksum,
             "image-write": _image_write}

# SPDX-License-Identifier: Apache-2.0
"""L1 as a host: its PCI devices, their drivers and their IOMMU groups."""

import hashlib
import os
import pathlib
import time

from l1 import clock
from l1.case import Failure, log

PCI = pathlib.Path("/sys/bus/pci")


def wait_for(condition, seconds, what):
    """The first true value of condition(), or a failure that says what never came."""
    end = clock.now() + seconds
    while not (value := condition()):
        if clock.now() > end:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(0.02)
    return value


def settle(seconds=20):
    """Wait until every NVMe controller's drive has appeared: the driver probes in the background."""
    end = clock.now() + seconds
    while clock.now() < end:
        controllers = [pathlib.Path(f"/sys/bus/pci/drivers/nvme/{p.name}") for p in all_devices()
                       if p.driver == "nvme"]
        if all(list(path.glob("nvme/nvme*/nvme*n1")) for path in controllers):
            return
        time.sleep(0.05)


class PciDevice:
    def __init__(self, bdf):
        self.bdf = bdf
        self.name = bdf
        self.path = PCI / "devices" / bdf

    def __repr__(self):
        return f"{self.name} ({self.bdf})" if self.name != self.bdf else self.bdf

    def _read(self, name):
        return (self.path / name).read_text().strip()

    @property
    def vendor_device(self):
        return f"{self._read('vendor')[2:]}:{self._read('device')[2:]}"

    @property
    def driver(self):
        """Name of the driver it is bound to, or None."""
        link = self.path / "driver"
        return os.path.basename(os.readlink(link)) if link.exists() else None

    @property
    def group(self):
        link = self.path / "iommu_group"
        return os.path.basename(os.readlink(link)) if link.exists() else None

    @property
    def group_node(self):
        return pathlib.Path(f"/dev/vfio/{self.group}")

    def group_devices(self):
        return sorted(p.name for p in (self.path / "iommu_group/devices").iterdir())

    def resources(self):
        """(start, end, flags) of each BAR, the ROM included."""
        return [tuple(int(word, 16) for word in row.split()) for row in self._read("resource").splitlines()[:7]]

    def bind_vfio(self):
        self.bind("vfio-pci")
        wait_for(self.group_node.exists, 10, f"{self.group_node} of {self}")

    def bind(self, driver):
        """Give the device to one driver, named."""
        log(f"host: {self} to {driver}")
        (self.path / "driver_override").write_text(driver)
        self.unbind()
        (PCI / "drivers_probe").write_text(self.bdf)
        if self.driver != driver:
            raise Failure(f"{self} did not bind to {driver}; it is bound to {self.driver}")

    def bind_native(self):
        """Give the device back to whichever driver claims it by its ids."""
        log(f"host: {self} to its own driver")
        (self.path / "driver_override").write_text("\n")
        self.unbind()
        (PCI / "drivers_probe").write_text(self.bdf)
        if self.driver == "nvme":
            self.block_device()

    def unbind(self):
        if self.driver:
            (self.path / "driver" / "unbind").write_text(self.bdf)

    def block_device(self, seconds=20):
        """Path of the drive of an NVMe controller that is bound to nvme."""
        def node():
            names = [p.name for p in self.path.glob("nvme/nvme*/nvme*n1")]
            path = pathlib.Path("/dev") / names[0] if names else None
            return path if path and path.exists() else None

        return wait_for(node, seconds, f"a drive of {self}")

    def network_interface(self, seconds=20):
        return wait_for(lambda: [p.name for p in self.path.glob("net/*")], seconds,
                        f"a network interface of {self}")[0]


def all_devices():
    return [PciDevice(path.name) for path in sorted((PCI / "devices").iterdir())]


def find(vendor_device):
    """All devices with this vendor:device, as in lspci -n."""
    return [device for device in all_devices() if device.vendor_device == vendor_device]


def located(place, places):
    """The device at a place as labkit.hosts describes it: an address, the function below a port, or its sibling."""
    if "bdf" in place:
        return PciDevice(place["bdf"])
    if "sibling" in place:
        return PciDevice(located(places[place["sibling"]], places).bdf[:-1] + "1")
    below = sorted(p.name for p in (PCI / "devices" / place["port"]).glob("0000:*")
                   if (p / "vendor").exists())
    if not below:
        raise Failure(f"nothing is behind the port {place['port']}")
    return PciDevice(below[0])


class Snapshot:
    """Which driver every device is bound to; restore() makes it so again."""

    def __init__(self):
        self.drivers = {device.bdf: device.driver for device in all_devices()}

    def differences(self):
        now = {device.bdf: device.driver for device in all_devices()}
        return [f"{bdf}: {self.drivers.get(bdf)} -> {now.get(bdf)}"
                for bdf in sorted(self.drivers.keys() | now.keys()) if self.drivers.get(bdf) != now.get(bdf)]

    def restore(self):
        """Returns whether this L1 is spoilt for further cases."""
        try:
            for device in all_devices():
                if self.drivers.get(device.bdf) != device.driver:
                    device.bind_native()
        except (Failure, OSError) as error:
            print(f"lab: cannot restore the host: {error}", flush=True)
            return True
        return bool(self.differences())


def write_random(path, size, seed_bytes=None):
    """Write random data to the start of a drive, through to the device; returns its SHA-256."""
    data = seed_bytes or os.urandom(size)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
        os.fsync(fd)
    finally:
        os.close(fd)
    return hashlib.sha256(data).hexdigest()


def checksum(path, size, offset=0):
    """SHA-256 of a part of a drive, read from the device and not from the page cache."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    digest = hashlib.sha256()
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while size > 0 and (data := os.pread(fd, min(size, 1 << 20), offset)):
            digest.update(data)
            offset += len(data)
            size -= len(data)
    finally:
        os.close(fd)
    return digest.hexdigest()

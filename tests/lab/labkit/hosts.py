# SPDX-License-Identifier: Apache-2.0
"""The machines cases run on: which devices L1 has, how much memory, which kernel command line.

A device's name is how a case finds it (`lab.host.pci("nvme0")`). A device with a `port` sits behind a
root port of its own at 00:PORT.0, so it has an IOMMU group of its own; one with an `addr` sits on the root
bus, and two functions of one slot there share a group.
"""

import dataclasses
import hashlib

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Device:
    name: str
    model: str                  # QEMU's -device model, with properties
    port: int = 0               # slot of the root port above it, or
    addr: str = ""              # its slot and function on the root bus, or
    sibling: str = ""           # the device whose port it shares, as that one's function 1
    drive: int = 0              # bytes of random data, as a file drive of its own
    network: bool = False       # a user-mode network with nothing but the gateway, 10.0.2.2
    memory: int = 0             # bytes of a memory backend, property memdev
    subsystem: bool = False     # the drive is a namespace of an NVMe subsystem, open to all its controllers
    crossed: bool = False       # two serial ports, each the other end of the other's line

    def where(self):
        """The device's place below L1's PCI root: bus numbers are the firmware's choice, slots are ours."""
        if self.port:
            return {"port": f"0000:00:{self.port:02x}.0"}
        if self.sibling:
            return {"sibling": self.sibling}
        slot, _, function = self.addr.partition(",")[0].partition(".")
        return {"bdf": f"0000:00:{int(slot, 16):02x}.{int(function or '0', 16)}"}

    def arguments(self, folder):
        """QEMU's arguments; backends and QMP know the device as NAME, its backend as NAME-backend."""
        model, place, out = self.model, "", []
        if self.port:
            out += ["-device", f"pcie-root-port,id=port-{self.name},addr={self.port:#x},"
                               f"chassis={self.port},slot={self.port}"]
            place = f",bus=port-{self.name},addr=0x0"
        elif self.sibling:
            place = f",bus=port-{self.sibling},addr=0x0.0x1"
        elif self.addr:
            place = f",bus=pcie.0,addr={self.addr}"
        if self.drive:
            out += ["-drive", self.drive_words(folder)]
            if not self.subsystem:
                model += f",drive={self.name}-backend"
        if self.subsystem:
            out += ["-device", f"nvme-subsys,id={self.name}-subsystem"]
            model += f",subsys={self.name}-subsystem"
        if self.network:
            out += ["-netdev", f"user,id={self.name}-backend,restrict=on"]
            model += f",netdev={self.name}-backend"
        if self.memory:
            out += ["-object", f"memory-backend-ram,id={self.name}-backend,size={self.memory},reserve=off"]
            model += f",memdev={self.name}-backend"
        if self.crossed:
            # A name without a place in the file system: a folder's path may be too long for a socket's.
            line = hashlib.sha256(f"{folder}/{self.name}".encode()).hexdigest()[:32]
            for end, role in (("1", ",server=on,wait=off"), ("2", "")):
                out += ["-chardev", f"socket,id={self.name}-{end},path=portcullis-lab-{line},abstract=on{role}"]
                model += f",chardev{end}={self.name}-{end}"
        out += ["-device", f"{model},id={self.name}{place}"]
        if self.subsystem:
            out += ["-device", f"nvme-ns,drive={self.name}-backend,bus={self.name},nsid=1,shared=on"]
        return out

    def drive_words(self, folder):
        return f"file={self.image(folder)},format=raw,if=none,id={self.name}-backend,cache=unsafe"

    def hot_plug_words(self):
        """The same device as arguments of QMP's device_add, for one that was pulled."""
        driver, *properties = self.model.split(",")
        return {"driver": driver, "id": self.name, "bus": f"port-{self.name}", "drive": f"{self.name}-backend",
                **dict(word.split("=", 1) for word in properties)}

    def image(self, folder):
        return folder / f"{self.name}.img"


def nvme(name, drive=32 * MIB, more="", **where):
    return Device(name, f"nvme,serial={name}{more}", drive=drive, **where)


@dataclasses.dataclass(frozen=True)
class Host:
    """A configuration of L1. Cases with equal hosts share its boots."""

    devices: tuple
    memory: int = 4096          # MiB
    append: str = "intel_iommu=on iommu=nopt"
    kernel: str = "debian"      # or "iommufd" (labkit/iommufd_kernel.py), "bochs" (labkit/bochs.py: Intel's VMX), "igb"
                                # (Debian's, where QEMU has that card)
    accel: str = "tcg,thread=multi"
    extra: tuple = ()           # further QEMU arguments
    heartbeat: int = 25         # seconds without a sign of life after which L1 counts as dead
    silence: int = 0            # the same without a word of the case (lab.l0.say); 0: cases may be silent
    reruns: int = 2             # of one case, after lab faults
    pace: float = 1             # seconds here that one of L1's may take; deadlines are L1's
    atomics: bool = False       # root ports complete AtomicOps, and drives too (labkit/atomics.py)
    one_boot: bool = False      # booting takes longer than its cases: one L1 at a time, and before all others


# One of everything the cases of cold plug need. The pair shares a slot and so an IOMMU group
# (Linux would give an Intel device on the root bus a group of its own all the same).
STANDARD_DEVICES = (
    nvme("nvme0", port=0x2),
    Device("net0", "e1000e", port=0x3, network=True),
    nvme("nvme1", port=0x4),
    Device("edu0", "edu,dma_mask=0xffffffffffffffff", addr="0x8"),
    nvme("pair0", addr="0x9.0x0,multifunction=on"),
    nvme("pair1", addr="0x9.0x1"),
)

# As many MSI-X vectors as there may be: more than an L1 of one processor has.
MANY_VECTORS = nvme("many0", more=",msix_qsize=2048", port=0x9)

# Regions of every kind: memory that must be mapped, BARs larger than the guest's memory and smaller than a page (small0
# has one of 2 KiB, shm0 and shm1 have 256 bytes), I/O, a ROM.
REGION_DEVICES = (
    Device("net0", "e1000e", port=0x2, network=True),
    Device("shm0", "ivshmem-plain", port=0x3, memory=64 * MIB),
    Device("shm1", "ivshmem-plain", port=0x4, memory=16 * MIB),
    Device("big0", "pci-testdev,membar=64G", port=0x5),
    Device("usb0", "qemu-xhci", port=0x6),
    Device("blk0", "virtio-blk-pci,iommu_platform=on,disable-legacy=on", port=0x7, drive=32 * MIB),
    Device("edu0", "edu,dma_mask=0xffffffffffffffff", addr="0x8"),
    MANY_VECTORS,
    Device("small0", "pci-testdev,membar=2K", port=0xa),
)

# Cards that interrupt by pin, one that can both, and one that has no interrupt at all.
LEGACY_DEVICES = (
    Device("rtl0", "rtl8139", addr="0x8", network=True),
    Device("serial0", "pci-serial-2x", addr="0x9", crossed=True),
    Device("edu0", "edu", addr="0xa"),
    Device("e1000", "e1000", addr="0xb", network=True),
    Device("testdev0", "pci-testdev", addr="0xc"),
    Device("xhci0", "nec-usb-xhci,msi=on,msix=off", addr="0xd"),
)

# Cards of every trade, as many as there are slots, for a look at each: no guest drives them here.
ZOO = ("VGA", "bochs-display", "cirrus-vga", "ati-vga", "vmware-svga", "qxl",
       "virtio-gpu-pci,iommu_platform=on,disable-legacy=on", "intel-hda", "AC97,audiodev=quiet", "ES1370,audiodev=quiet",
       "lsi53c895a", "megasas", "mptsas1068", "pvscsi", "am53c974", "ich9-ahci", "piix3-ide", "vmxnet3", "ne2k_pci",
       "pcnet", "i82559er", "tulip", "usb-ehci", "pci-ohci", "piix3-usb-uhci")
ZOO_TWO = ("sdhci-pci", "pvpanic-pci", "tpci200", "i6300esb", "pci-serial", "nvme,serial=cmb,cmb_size_mb=64",
           "virtio-balloon-pci,iommu_platform=on,disable-legacy=on", "virtio-scsi-pci", "rocker,name=switch",
           "ich9-usb-ehci1", "e1000-82545em", "i82801", "rtl8139", "secondary-vga", "nec-usb-xhci", "ich9-intel-hda",
           "dc390", "lsi53c810", "megasas-gen2", "virtio-tablet-pci", "pci-testdev,membar=1M")


def zoo(models):
    devices = (Device(model.partition(",")[0], model, addr=f"{slot:#x}", drive=MIB if model.startswith("nvme") else 0)
               for slot, model in enumerate(models, 3))
    return Host(tuple(devices), memory=2048, extra=("-audiodev", "none,id=quiet"))


def bochs(kvm_intel=""):
    """L1's clock counts instructions, 20 ns each, of which Bochs does some 25 million a second."""
    return Host((), memory=1024, append=f"lab_kvm_intel={kvm_intel}", kernel="bochs", heartbeat=300, reruns=1, pace=10,
                one_boot=True)


HOSTS = {
    "zoo": zoo(ZOO),
    "zoo-two": zoo(ZOO_TWO),
    "standard": Host(STANDARD_DEVICES),
    "legacy": Host(LEGACY_DEVICES, memory=2048),
    # Room for a guest whose memory reaches beyond 4 GiB, all of it pinned.
    "large": Host(STANDARD_DEVICES, memory=6144),
    # Every clock in L1 counts executed instructions, 2 ns each: what is measured there does not wobble. When L2 hangs
    # (labkit/svm_fix.py), L1 lives on, but its time almost stands still.
    "clock": Host(STANDARD_DEVICES, accel="tcg,thread=single", extra=("-icount", "shift=1,sleep=on"),
                  heartbeat=120, silence=120, reruns=5),
    # Many drives, to plug one at each of many moments of one boot.
    "drives": Host(tuple(nvme(f"nvme{i}", drive=4 * MIB, port=2 + i) for i in range(12))),
    # BARs as large as a graphics card's memory. The second one is memory, and keeps what is written.
    "big-bar": Host((Device("big0", f"pci-testdev,membar={16384 * MIB}", port=0x2),
                     Device("shared0", "ivshmem-plain", port=0x3, memory=16384 * MIB))),
    # What goes wrong or is unusual: error reporting (AER), virtual functions, and two functions that can only be
    # reset together, by their bus.
    "errors": Host((
        Device("net0", "e1000e", port=0x2, network=True),
        Device("physical0", "nvme,serial=physical0,max_ioqpairs=4,msix_qsize=5,sriov_max_vfs=1,"
                            "sriov_vq_flexible=2,sriov_vi_flexible=1",
               port=0x3, drive=32 * MIB, subsystem=True),
        Device("twin0", "e1000,multifunction=on", port=0x4, network=True),
        Device("twin1", "e1000", sibling="twin0", network=True),
        nvme("nvme0", port=0x5),
        Device("rng0", "virtio-rng-pci,aer=on,disable-legacy=on,iommu_platform=on", port=0x6),
    ), append="intel_iommu=on iommu=nopt nvme_core.multipath=N"),
    # Without something on its bus the USB controller has nothing to interrupt for.
    "regions": Host(REGION_DEVICES, extra=("-device", "usb-mouse,bus=usb0.0")),
    # Both ways to a device: /dev/iommu and the devices' own nodes, groups and containers; and mediated devices.
    "iommufd": Host((nvme("nvme0", port=0x2), nvme("nvme1", port=0x4),
                     Device("edu0", "edu,dma_mask=0xffffffffffffffff", addr="0x8"),
                     Device("shm0", "ivshmem-plain", port=0x3, memory=16 * MIB),
                     Device("twin0", "e1000,multifunction=on", port=0x5, network=True),
                     Device("twin1", "e1000", sibling="twin0", network=True),
                     MANY_VECTORS), memory=3072, kernel="iommufd", atomics=True),
    # A network card with virtual functions, which Debian 12's QEMU does not have.
    "igb": Host((Device("igb0", "igb", port=0x2, network=True),), memory=3072, kernel="igb"),
    "no-iommu": Host((nvme("nvme0", port=0x2),), memory=2048, append="intel_iommu=off"),
    # An Intel processor, in Bochs, with what KVM there makes of it by default.
    "intel": bochs(),
    # What older processors lack: KVM has real mode by another way (vm86, its emulator).
    "intel-unrestricted-guest-0": bochs("unrestricted_guest=0"),
    "intel-ept-0": bochs("ept=0"),
}

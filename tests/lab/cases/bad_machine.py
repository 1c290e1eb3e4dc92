# SPDX-License-Identifier: Apache-2.0
"""Bad kernels, memory sizes and options: an error that names the thing, status 1, no crash and no hang."""

import os
import pathlib

from l1.case import case, check, check_equal
from l1.host import PciDevice

MIB = 1 << 20


def variant(lab, name, data):
    path = lab.directory / name
    path.write_bytes(data)
    return path


@case(vmms=("portcullis",))
def bad_kernels(lab):
    """A kernel that is missing, empty, truncated or not one."""
    image, elf = lab.kernel.read_bytes(), lab.vmlinux.read_bytes()
    bad = [lab.directory / "missing", lab.directory,
           variant(lab, "empty", b""),
           variant(lab, "one-byte", b"M"),
           variant(lab, "text", b"#!/bin/sh\necho I am not a kernel\n" * 100),
           variant(lab, "zeros", bytes(8 * MIB)),
           variant(lab, "cut-header", image[:600]),
           variant(lab, "cut-image", image[:len(image) // 2]),
           variant(lab, "cut-elf-header", elf[:80]),
           variant(lab, "cut-elf", elf[:len(elf) // 2]),
           variant(lab, "elf-without-entry", pathlib.Path("/bin/busybox").read_bytes())]
    for path in bad:
        lab.refused(kernel=path, mentions=[path])


@case
def missing_kernel(lab):
    """A kernel that does not exist."""
    lab.refused(kernel="/nonexistent/kernel", mentions=["/nonexistent/kernel"])


@case(vmms=("portcullis",))
def bad_initrds(lab):
    """An initrd that is missing, and one that does not fit into the guest's RAM."""
    lab.refused(initrd="/nonexistent/initrd", mentions=["/nonexistent/initrd"])
    large = lab.directory / "large"
    with open(large, "wb") as sparse:
        sparse.truncate(200 * MIB)
    lab.refused(initrd=large, memory="128M", mentions=[large, ("128", str(128 * MIB))])


@case(vmms=("portcullis",))
def memory_larger_than_host(lab):
    """More RAM than the host has: both figures."""
    lab.refused(memory="1T", mentions=[("1T", "1024 GiB", "1 TiB", str(1 << 40), "1048576")])


@case(vmms=("portcullis",))
def bad_sizes(lab):
    """Sizes and counts that make no sense."""
    for size in ("0", "1", "-1", "127M", "12Q", "M", "", "99999999999999999999", "1e3", "256M512M"):
        lab.refused(memory=size, mentions=[size] if size else [])
    for smp in ("0", "-1", "4097", "two", "", "cpus=", "2,sockets=3", "cpus=2,nosuch=1"):
        lab.refused(smp=smp)
    # Debian's kernel: 1024, and APIC ids to four times that.
    lab.refused(smp="1025", mentions=["1025 vCPUs", "1024"])


@case(vmms=("portcullis",))
def bad_options(lab):
    """Unknown options are named, and the nearest is suggested."""
    lab.refused("-memry", "1G", mentions=["-memry", "-m"])
    lab.refused("-devise", "x", mentions=["-devise", "-device"])
    lab.refused("-serial", "nosuch", mentions=["nosuch"])
    lab.refused("-machine", "i440fx", mentions=["i440fx", "q35"])
    lab.refused("-name", mentions=["-name"])
    lab.refused("-pidfile", "/nonexistent/pid", mentions=["/nonexistent/pid"])
    lab.refused("-D", "/nonexistent/log", mentions=["/nonexistent/log"])


@case(vmms=("portcullis",))
def no_kvm(lab):
    """No /dev/kvm, and one that may not be opened."""
    hidden = "/dev/kvm.hidden"
    os.rename("/dev/kvm", hidden)
    try:
        lab.refused(mentions=["/dev/kvm"])
    finally:
        os.rename(hidden, "/dev/kvm")
    os.chmod("/dev/kvm", 0o600)
    lab.refused(prefix=("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"),
                mentions=["/dev/kvm", ("permission", "0600", "kvm group", "group kvm")])


@case(vmms=("portcullis",))
def daemonize_with_error(lab):
    """-daemonize reports what goes wrong before it lets go of the terminal, and leaves no pid file."""
    pid_file = lab.directory / "pid"
    lab.refused("-daemonize", "-pidfile", pid_file, serial="none", kernel="/nonexistent/kernel",
                mentions=["/nonexistent/kernel"])
    check(not pid_file.exists(), "a pid file was left behind")


@case(vmms=("portcullis",))
def help_and_version(lab):
    """-help, -version and -device TYPE,help answer on stdout with status 0, without a machine."""
    for arguments, expected in ((["-help"], ["-device", "-kernel", "-smp"]), (["-version"], ["portcullis"]),
                                (["-device", "vfio-pci,help"], ["host", "multifunction"]),
                                (["-device", "pcie-root-port,help"], ["port"])):
        with lab.vmm(*arguments, bare=True, ready=False) as vmm:
            check_equal(vmm.wait_exit(30), 0, f"exit status of {arguments}")
            said = vmm.final_output()
            for word in expected:
                check(word in said, f"{arguments} does not mention {word}: {said!r}")


@case(vmms=("portcullis",))
def failure_leaves_devices(lab):
    """A start that fails after a device was attached leaves it bound to vfio-pci and ready for the next try."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    device = f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x03.0x0"
    lab.refused(devices=[device], kernel=variant(lab, "text", b"not a kernel" * 100), mentions=["text"])
    check_equal(PciDevice(drive.bdf).driver, "vfio-pci", "the drive's driver afterwards")
    with lab.vmm(devices=[device]) as vmm:
        vmm.guest.wait_true("[ -b /dev/nvme0n1 ]", what="the drive")
        vmm.poweroff()

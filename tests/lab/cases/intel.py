# SPDX-License-Identifier: Apache-2.0
"""KVM on Intel's VMX: a guest's life, on the hosts that Bochs emulates. They have no IOMMU, and so no VFIO.

Each boot of a guest takes about a minute there: these cases ask as much of each as they can.
"""

import pathlib
import re
import time

from l1.case import case, check, check_equal
from l1.qmp import Qmp

SOCKET = "/tmp/qmp.sock"
QMP = ("-qmp", f"unix:{SOCKET},server,nowait")
# The crypto self-tests are half of a boot.
APPEND = "cryptomgr.notests"
# What L1's kernel says of Bochs, with no guest in sight.
OF_BOCHS = re.compile(r"TSC_DEADLINE disabled due to Errata|Failed to access perfctr msr|ENERGY_PERF_BIAS: Set to|"
                      r"fail to add MMCONFIG information")
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
KVM_INTEL = pathlib.Path("/sys/module/kvm_intel/parameters")


def check_parameters(**wanted):
    """This L1 is what its name says: kvm_intel turns off by itself what the processor lacks."""
    got = {name: (KVM_INTEL / name).read_text().strip() for name in wanted}
    check_equal(got, wanted, "kvm_intel's parameters")


def check_sealed(vmm):
    open_threads = [thread.comm for thread in vmm.threads() if thread.seccomp != 2]
    check(not open_threads, f"threads without a seccomp filter: {open_threads}")


def end(lab, vmm):
    """The guest turns itself off; nobody has anything to say."""
    vmm.poweroff()
    check_equal(vmm.stderr(), "", "stderr")
    rows = [row for row in lab.shell("dmesg -r | grep '^<[0-4]>' || true").splitlines() if not OF_BOCHS.search(row)]
    check(not rows, "L1's kernel warned:\n" + "\n".join(rows))


def life(lab, smp, reboots=True):
    """Boot, reboot, poweroff."""
    with lab.vmm(smp=smp, append=APPEND) as vmm:
        check_sealed(vmm)
        check_equal(vmm.guest.check("nproc"), smp, "processors in the guest")
        first = vmm.guest.check(BOOT_ID)
        if reboots:
            vmm.guest.send_only("reboot -f")
            vmm.guest.wait_ready()
            check(vmm.guest.check(BOOT_ID) != first, "the guest did not boot again")
            check_equal(vmm.guest.check("nproc"), smp, "processors after the reboot")
        end(lab, vmm)


@case(host="intel", deadline=600, vmms=("portcullis",))
def intel_qmp(lab):
    """One vCPU on Intel: boot, QMP's stop, cont and system_reset, power-off; seccomp filters on."""
    check_parameters(ept="Y", unrestricted_guest="Y", vpid="Y")
    with lab.vmm(*QMP, append=APPEND) as vmm:
        qmp = Qmp(SOCKET)
        check_sealed(vmm)
        first = vmm.guest.check(BOOT_ID)
        qmp.cmd("stop")
        qmp.wait_event("STOP")
        check_equal(qmp.cmd("query-status")["status"], "paused", "status")
        said = vmm.guest.output
        number = vmm.guest.send_only("true")
        time.sleep(1)
        check_equal(vmm.guest.output, said, "what a stopped guest said")
        qmp.cmd("cont")
        qmp.wait_event("RESUME")
        vmm.guest.wait_for(rf"@@END {number} 0", 30, "the answer to what was asked while it stood still")
        qmp.cmd("system_reset")
        qmp.wait_event("RESET", guest=False)
        vmm.guest.wait_ready()
        check(vmm.guest.check(BOOT_ID) != first, "the guest did not boot again")
        end(lab, vmm)


@case(host="intel", deadline=600, vmms=("portcullis",))
def intel_smp_2(lab):
    """Two vCPUs on Intel: boot, reboot, power-off."""
    life(lab, "2")


@case(host="intel-unrestricted-guest-0", deadline=900, vmms=("portcullis",), stress=True)
def intel_unrestricted_guest_0(lab):
    """The same life on an Intel with EPT but no unrestricted guests: a second vCPU's real mode."""
    check_parameters(ept="Y", unrestricted_guest="N")
    life(lab, "2")


@case(host="intel-ept-0", deadline=1200, vmms=("portcullis",), stress=True)
def intel_ept_0(lab):
    """Boot and power-off on an Intel without EPT, where KVM shadows the guest's page tables (docs/lab.md)."""
    check_parameters(ept="N", unrestricted_guest="N")
    life(lab, "2", reboots=False)

# SPDX-License-Identifier: Apache-2.0
"""NUMA: nodes in the guest as asked, a card of a node, memory from the host's nodes."""
from l1.case import case, check, check_equal
from l1.qmp import Qmp

NODES = "/sys/devices/system/node"
SOCKET = "/tmp/qmp.sock"
# What Linux says of tables or a topology that it does not believe; what it says of others is left out.
COMPLAINTS = r"SRAT|SLIT|NUMA: |on the same node|irmware [Bb]ug|ACPI.*(rror|arning)|conflicts with|no space for|can.t claim"
HARMLESS = r"SRAT: PXM . -> APIC|SRAT: Node . PXM|NUMA: Node . \[mem|Initialized distance table|(SRAT|SLIT) 0x|ACPI: Reserving"
ONE = "memory-backend-ram,id=m0,size=192M,policy=bind,host-nodes=0,prealloc=on"
OTHER = "memory-backend-memfd,id=m1,size=128M"
NEAR = "pcie-root-port,id=near,bus=pcie.0,addr=0x4,numa_node=1"
ANY = "pcie-root-port,id=any,bus=pcie.0,addr=0x5"


def memory_of(guest, node):
    """MiB that the guest's kernel has on a node, what it keeps for itself left out."""
    return int(guest.check(f"sed -n 's/.*MemTotal: *\\([0-9]*\\) kB/\\1/p' {NODES}/node{node}/meminfo")) >> 10


@case(vmms=("portcullis",), deadline=400)
def numa(lab):
    """Two nodes, a vCPU each, of two kinds of memory, one bound to a node of the host; a drive of node 1."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    arguments = ("-object", ONE, "-object", OTHER, "-numa", "node,nodeid=0,cpus=0,memdev=m0",
                 "-numa", "node,nodeid=1,cpus=1,memdev=m1", "-numa", "dist,src=0,dst=1,val=21",
                 "-qmp", f"unix:{SOCKET},server,nowait")
    with lab.vmm(*arguments, memory="320M", smp="2,sockets=2", devices=[NEAR, ANY]) as vmm:
        guest = vmm.guest
        check_equal(guest.check(f"cat {NODES}/online"), "0-1", "nodes")
        for node, (distance, size) in enumerate((("10 21", 192), ("21 10", 128))):
            check_equal(guest.check(f"cat {NODES}/node{node}/cpulist"), str(node), "its CPU")
            check_equal(guest.check(f"cat {NODES}/node{node}/distance"), distance, "its distances")
            found = memory_of(guest, node)
            check(size - 80 < found <= size, f"node {node} has {found} MiB, not {size}")
        client = Qmp(SOCKET)
        client.cmd("device_add", driver="vfio-pci", id="d", bus="near", host=drive.bdf)
        guest.wait_true("[ -b /dev/nvme0n1 ]", what="a drive behind the port of node 1")
        check_equal(guest.check("cat /sys/block/nvme0n1/device/device/numa_node"), "1", "the drive's node")
        # DMA reaches the memory of both nodes.
        for cpu in (0, 1):
            guest.check(f"taskset -c {cpu} dd if=/dev/nvme0n1 of=/dev/null bs=1M count=2 iflag=direct 2>&1")
        buses = {bus["bus"]: [d["qdev_id"] for d in bus["devices"]] for bus in client.cmd("query-pci")}
        check_equal(buses, {0: ["", "any"], 2: ["near"]}, "root buses by QMP")
        client.cmd("device_del", id="d")
        guest.wait_true("[ ! -b /dev/nvme0n1 ]", what="no drive")
        complaints = guest.run(f"dmesg | grep -E '{COMPLAINTS}' | grep -vE '{HARMLESS}'")[1]
        check_equal(complaints, "", "what the guest's kernel says of its nodes")
        vmm.poweroff()
    lab.refused("-object", "memory-backend-ram,id=m,size=128M,policy=bind,host-nodes=5", "-machine",
                "memory-backend=m", memory="128M", mentions=["node 5", "node 0 only"])
    lab.refused("-object", ONE, "-numa", "node,memdev=m0", memory="320M",
                mentions=[str(192 << 20), str(320 << 20)])

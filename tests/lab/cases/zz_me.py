"""scratch"""
from l1.case import case, check, check_equal
@case
def zz_me(lab):
    """scratch"""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    with lab.vmm(devices=["pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1", f"vfio-pci,host={drive.bdf},id=drive,bus=pcie.0,addr=0x03.0x0"], kernel=lab.kernel, smp="2") as vmm:
        g = vmm.guest
        print(g.check("dmesg; cat /proc/interrupts; cat /proc/iomem; cat /proc/ioports; ls /sys/bus/pci/devices; for d in /sys/bus/pci/devices/*; do echo $d; cat $d/resource; hexdump -C $d/config | head -20; done"), flush=True)
        print(vmm.threads())
        g.check("reboot -f &")
        import time; time.sleep(5)
        check(False, "show")

from l1.case import case
from l1.case import log
import time

@case(deadline=900)
def zz_vcpu_reset(lab):
    """throw-away"""
    with lab.vmm(append="earlyprintk=ttyS0 nokaslr") as vmm:
        vmm.guest.send_only("reboot -f")
        try:
            vmm.guest.wait_ready(90)
        except Exception as e:
            for i in range(12):
                text = str(lab.l0.monitor("info registers"))
                log("REGS " + text[:1500].replace("\\r\\n", " | "))
                time.sleep(0.5)
            raise
        vmm.poweroff()

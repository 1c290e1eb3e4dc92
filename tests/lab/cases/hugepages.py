# SPDX-License-Identifier: Apache-2.0
"""Guest RAM of huge pages: the host's reserve, mounts with and without a size."""
import contextlib
import pathlib
import subprocess

from l1.case import case, check, check_equal

POOL = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")


def figure(name):
    return int((POOL / name).read_text())


@contextlib.contextmanager
def reserve(pages):
    """The host reserves that many pages of 2 MiB."""
    (POOL / "nr_hugepages").write_text(str(pages))
    try:
        check_equal(figure("nr_hugepages"), pages, "huge pages of the host")
        yield
    finally:
        (POOL / "nr_hugepages").write_text("0")


@contextlib.contextmanager
def mounted(lab, *options):
    folder = lab.directory / "huge"
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "hugetlbfs", *options, "none", str(folder)], check=True)
    try:
        yield str(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@case(vmms=("portcullis",))
def hugepages(lab):
    """A guest with a drive on an ordinary hugetlbfs mount; another guest finds no pages left."""
    drive = lab.host.pci("nvme0")
    drive.bind_vfio()
    with reserve(70), mounted(lab) as path:
        with lab.vmm("-mem-path", path, memory="128M",
                     devices=[f"vfio-pci,host={drive.bdf},id=d,bus=pcie.0,addr=0x3"]) as vmm:
            vmm.guest.wait_true("[ -b /dev/nvme0n1 ]", what="a drive")
            check_equal(figure("free_hugepages") - figure("resv_hugepages"), 6, "pages left for others")
            lab.refused("-mem-path", path, memory="128M",
                        mentions=["64 huge pages of 2 MiB", "free", "reserved"])
            vmm.poweroff()
        check_equal(figure("free_hugepages"), 70, "pages after the guest has ended")
        check_equal(figure("resv_hugepages"), 0, "reservations after the guest has ended")


@case(vmms=("portcullis",))
def hugepages_missing(lab):
    """Too few huge pages: refused at the start with needed, free and reserved; nothing is leaked."""
    with mounted(lab) as path:
        for pages in (0, 40, 63):
            with reserve(pages):
                lab.refused("-mem-path", path, memory="128M",
                            mentions=["64 huge pages of 2 MiB", f"{pages} free", "0 of them reserved",
                                      f"reserve {64 - pages} more"])
                check_equal(figure("resv_hugepages"), 0, "reservations")
        with reserve(64):
            lab.refused("-mem-path", path, memory="129M", mentions=["multiple"])
            check(not list(pathlib.Path(path).iterdir()), "a file is left on the mount")
    with reserve(80), mounted(lab, "-o", "size=64M") as path:
        lab.refused("-mem-path", path, memory="128M", mentions=["64 huge pages", "size", "32"])

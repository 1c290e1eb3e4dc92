/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_worker.c - all that a VFIO device's worker may ask of the kernel (threads/vfio_worker.c).
 *
 * VFIO_DEVICE_* calls are pinned to the device fd zone; groups and containers have any number. Two
 * commands of containers and of devices share their numbers, and are one line here.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <sys/mman.h>

#include <portcullis/sys.h>

#include "rules.h"

/* linux/iommufd.h and newer parts of linux/vfio.h, for builds with older kernel headers. */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#endif
#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#endif
#ifndef VFIO_DEVICE_DETACH_IOMMUFD_PT
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)
#endif
#ifndef IOMMU_DESTROY
#define IOMMU_DESTROY _IO(';', 0x80)
#endif
#ifndef IOMMU_IOAS_ALLOC
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#endif
#ifndef IOMMU_IOAS_IOVA_RANGES
#define IOMMU_IOAS_IOVA_RANGES _IO(';', 0x84)
#endif
#ifndef IOMMU_IOAS_MAP
#define IOMMU_IOAS_MAP _IO(';', 0x85)
#endif
#ifndef IOMMU_IOAS_UNMAP
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)
#endif

_Static_assert(VFIO_IOMMU_GET_INFO == VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, "one line for both");
_Static_assert(VFIO_IOMMU_MAP_DMA == VFIO_DEVICE_PCI_HOT_RESET, "one line for both");

/* Creating files, O_TMPFILE's own bit included. */
#define OPEN_CREATES (O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

#define DEVICE_IOCTL(cmd, reason)                                                                  \
	RULE(ioctl, reason, ARG_BITS(0, FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE),                      \
		ARG_NAMED(1, cmd, #cmd))
#define ANY_IOCTL(cmd, reason) RULE(ioctl, reason, ARG_NAMED(1, cmd, #cmd))

static const struct sc_rule rules_worker[] = {
	/* finding the device: sysfs and /dev/vfio */
	RULE(openat, "/dev/vfio/*, /dev/iommu, sysfs, own limits in /proc, romfile; never creates",
		ARG_WITHOUT(2, OPEN_CREATES)),
	RULE(readlinkat, "driver and iommu_group links in sysfs"),
	RULE(newfstatat, "what is there; owner and mode of what cannot be opened"),
	RULE(getdents64, "the members of an IOMMU group"),

	/* groups and containers */
	ANY_IOCTL(VFIO_GET_API_VERSION, "container: the kernel's VFIO version"),
	ANY_IOCTL(VFIO_CHECK_EXTENSION, "container: type1v2 or not"),
	ANY_IOCTL(VFIO_SET_IOMMU, "container: type1v2"),
	ANY_IOCTL(VFIO_GROUP_GET_STATUS, "group: viable or not"),
	ANY_IOCTL(VFIO_GROUP_SET_CONTAINER, "group into a container"),
	ANY_IOCTL(VFIO_GROUP_UNSET_CONTAINER, "group out of its container, also after a failure"),
	ANY_IOCTL(VFIO_GROUP_GET_DEVICE_FD, "opening the device"),
	ANY_IOCTL(VFIO_IOMMU_GET_INFO,
		"usable IOVA ranges, page sizes; on a device: whom a bus reset affects"),
	ANY_IOCTL(VFIO_IOMMU_MAP_DMA, "guest RAM and BARs for DMA; on a device: bus reset"),
	ANY_IOCTL(VFIO_IOMMU_UNMAP_DMA, "and away again"),

	/* IOMMUFD */
	DEVICE_IOCTL(VFIO_DEVICE_BIND_IOMMUFD, "device to IOMMUFD"),
	DEVICE_IOCTL(VFIO_DEVICE_ATTACH_IOMMUFD_PT, "device to address space"),
	DEVICE_IOCTL(VFIO_DEVICE_DETACH_IOMMUFD_PT, "and away again"),
	ANY_IOCTL(IOMMU_IOAS_ALLOC, "a DMA address space"),
	ANY_IOCTL(IOMMU_DESTROY, "and its end"),
	ANY_IOCTL(IOMMU_IOAS_IOVA_RANGES, "usable IOVA ranges"),
	ANY_IOCTL(IOMMU_IOAS_MAP, "guest RAM and BARs for DMA"),
	ANY_IOCTL(IOMMU_IOAS_UNMAP, "and away again"),

	/* the device */
	DEVICE_IOCTL(VFIO_DEVICE_GET_INFO, "regions and interrupts a device has"),
	DEVICE_IOCTL(VFIO_DEVICE_GET_REGION_INFO, "its BARs and how they may be mapped"),
	DEVICE_IOCTL(VFIO_DEVICE_GET_IRQ_INFO, "its interrupts"),
	DEVICE_IOCTL(VFIO_DEVICE_SET_IRQS, "arming, masking, ending interrupts"),
	DEVICE_IOCTL(VFIO_DEVICE_RESET, "function-level reset"),
	DEVICE_IOCTL(VFIO_DEVICE_FEATURE, "optional abilities of the device"),
	RULE(pread64, "config space and BARs of the device",
		ARG_BITS(0, FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE)),
	RULE(pwrite64, "config space and BARs of the device",
		ARG_BITS(0, FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE)),

	/* KVM's VFIO device: coherency, PTE tracking */
	RULE(ioctl, "KVM learns of a group or device", ARG_FD(0, POLICY_FD_KVM_DEVICE),
		ARG_IS(1, KVM_SET_DEVICE_ATTR)),

	/* waiting for a device after reset */
	RULE(clock_nanosleep, "polling a device that is coming back from reset"),
	RULES_END,
};

static const struct sc_rule *const parts[] = { rules_worker, rules_kvm_irq, rules_loop, rules_heap,
	rules_common, NULL };

const struct policy policy_vfio_worker = { .role = "vfio_worker", .parts = parts };

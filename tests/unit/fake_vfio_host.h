/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_host.h - a host kernel for tests: a sysfs tree in a temporary directory, and groups,
 * containers, IOASes and device fds that keep the kernel's rules and remember who breaks them.
 *
 * Use:   fake_vfio_host_init(), fake_vfio_device() for each card, then a struct vfio_env with
 *        .host = &fake->host (fake_vfio_env() makes one whose KVM device is checked as well).
 *        At the end fake_vfio_idle() must hold and fake->violation be empty.
 * Fds:   every open is a real fd (a memfd), so that leaks show in /proc/self/fd.
 * Card:  fake_vfio_set_io() gives a device the calls of a fake card; without it they answer
 * nothing.
 */
#ifndef TESTS_FAKE_VFIO_HOST_H
#define TESTS_FAKE_VFIO_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/vfio.h>

#include "../../src/vfio/host/vfio_host.h"

#define FAKE_FDS_MAX 64
#define FAKE_DEVICES_MAX 16
#define FAKE_SPACES_MAX 16
#define FAKE_MAPS_MAX 4096
#define FAKE_RANGES_MAX 80

enum fake_fd_kind {
	FAKE_FD_FREE,
	FAKE_FD_CONTAINER,
	FAKE_FD_GROUP,
	FAKE_FD_DEVICE,
	FAKE_FD_CDEV,
	FAKE_FD_IOMMUFD
};
struct fake_fd {
	enum fake_fd_kind kind;
	int fd;
	int index; /* of the space, the device; number of the group */
	int space; /* group, cdev: joined to, -1 */
	bool in_kvm, bound;
	int iommufd;   /* cdev: fd it is bound to */
	unsigned node; /* cdev: minor number */
};

struct fake_map {
	uint64_t iova, size, hva;
	bool writable;
};
/* A container's address space, or an IOAS. */
struct fake_space {
	bool used, model;
	int iommu;   /* of the first group; groups of another one do not fit */
	int iommufd; /* IOAS: the fd it belongs to, else -1 */
	unsigned users, n_maps;
	struct fake_map maps[FAKE_MAPS_MAX];
};

struct fake_device {
	char name[64], driver[32];
	int group, iommu;
	bool pci;
	const struct fake_device *physical; /* of a virtual function */
	bool has_virtual;
	uint8_t token[UUID_SIZE];	 /* a physical function's, when vfio-pci has it */
	const struct vfio_device_io *io; /* borrowed */
};

struct fake_vfio_host {
	struct vfio_host host;
	struct vfio_host_ops ops;
	char root[64], sysfs[96], dev[96], proc[96];
	struct fake_fd fds[FAKE_FDS_MAX];
	struct fake_device devices[FAKE_DEVICES_MAX];
	unsigned n_devices;
	struct fake_space spaces[FAKE_SPACES_MAX];
	char violation[200]; /* the first rule that was broken */

	/* What the host can do. */
	bool no_type1; /* vfio_iommu_type1 is not loaded */
	int api_version;
	int set_iommu_error; /* errno of VFIO_SET_IOMMU */
	int open_error;	     /* errno of opening a group */
	enum {
		FAKE_BIND_TOKEN,
		FAKE_BIND_TOKEN_BROKEN,
		FAKE_BIND_NO_TOKEN
	} bind;				      /* Linux 6.18, 6.17, older */
	unsigned busy;			      /* GET_DEVICE_FD says EAGAIN so often */
	struct range ranges[FAKE_RANGES_MAX]; /* usable IOVA */
	unsigned n_ranges;
	uint32_t dma_avail;			     /* UINT32_MAX: the kernel does not tell */
	uint64_t pin_limit;			     /* bytes per space before ENOMEM */
	void (*on_map)(struct fake_vfio_host *fake); /* called in every map */

	int unmap_error; /* errno of unmapping */

	bool no_bus_reset; /* nothing above the devices can do it */
	unsigned bus_resets;
	void (*on_bus_reset)(struct fake_vfio_host *fake);

	/*
	 * Faults: the n-th call (open, ioctl, device_io, kvm_add) fails with fail_errno. 0: none.
	 * Calls that give something back are not counted: they do not fail for lack of anything.
	 */
	unsigned long calls, fail_at;
	int fail_errno;
	unsigned long maps, unmaps, slept_ms, kvm_adds;
	void *opaque; /* the test's */
};

void fake_vfio_host_init(struct fake_vfio_host *fake);
void fake_vfio_host_release(struct fake_vfio_host *fake);

/* A card in sysfs; driver NULL: not bound; group -1: no IOMMU. iommu: groups share one or not. */
struct fake_device *fake_vfio_device(
	struct fake_vfio_host *fake, const char *name, int group, const char *driver);
void fake_vfio_set_driver(struct fake_vfio_host *fake, const char *name, const char *driver);
void fake_vfio_set_io(
	struct fake_vfio_host *fake, const char *name, const struct vfio_device_io *io);
/* The second is a virtual function of the first. */
void fake_vfio_sriov(struct fake_vfio_host *fake, const char *physical, const char *virtual);
/* Any file below the root: "sys/kernel/iommu_groups/3/reserved_regions". */
void fake_vfio_file(struct fake_vfio_host *fake, const char *path, const char *text);
void fake_vfio_unlink(struct fake_vfio_host *fake, const char *path);
/* "vfio-dev/vfioN" and its node (235:N), as kernels with VFIO_DEVICE_CDEV have; and /dev/iommu. */
void fake_vfio_cdev(struct fake_vfio_host *fake, const char *name, unsigned number);

/* env whose kvm_add/kvm_del belong to the fake. */
struct vfio_env fake_vfio_env(struct fake_vfio_host *fake);

/* No fd open, no space left: the state at start. */
bool fake_vfio_idle(const struct fake_vfio_host *fake);
unsigned fake_vfio_open_fds(const struct fake_vfio_host *fake, enum fake_fd_kind kind);
unsigned fake_vfio_total_maps(const struct fake_vfio_host *fake);
/* Is [iova, iova + size) reachable by DMA in some space, and at this hva? */
bool fake_vfio_mapped(
	const struct fake_vfio_host *fake, uint64_t iova, uint64_t size, const void *hva);
/* Open fds of this process. */
unsigned fake_process_fds(void);

/* Between the source files of the fake. */
bool fake_vfio_viable(const struct fake_vfio_host *fake, int group);
struct fake_fd *fake_fd_find(struct fake_vfio_host *fake, int fd);
int fake_fd_new(struct fake_vfio_host *fake, enum fake_fd_kind kind, int index);
void fake_violation(struct fake_vfio_host *fake, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
struct fake_device *fake_device_find(struct fake_vfio_host *fake, const char *name);
/* May the device be opened with this token (NULL: none)? 0 or -errno; a physical one may take it. */
int fake_vfio_token(struct fake_vfio_host *fake, struct fake_device *device, const uint8_t *token);
int fake_space_new(struct fake_vfio_host *fake);
long fake_space_map(
	struct fake_vfio_host *fake, struct fake_space *space, const struct fake_map *map);
/* Exactly one mapping; bytes unmapped or -errno. */
long fake_space_unmap(
	struct fake_vfio_host *fake, struct fake_space *space, uint64_t iova, uint64_t size);
void fake_space_free(struct fake_vfio_host *fake, struct fake_space *space);
long fake_legacy_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg);
/* A device's own: the bus reset. */
long fake_bus_ioctl(struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg);
long fake_iommufd_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h - the objects behind vfio_attach(): context, containers, groups, attachments.
 * (private to src/vfio/host and tests)
 *
 * Locks: context->lock guards everything here and is held across slow ioctls (pinning memory takes
 *        seconds), so only workers take it, and only through attach.h. context->tables is a leaf
 *        lock that guards the container list, ranges and ledgers against readers on other threads;
 *        it is never held across a system call.
 * Owner: context owns all; containers and groups go with their last user.
 */
#ifndef PORTCULLIS_VFIO_CONTEXT_H
#define PORTCULLIS_VFIO_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "attach.h"
#include "vfio_host.h"
#include "ledger.h"
#include "lookup.h"

struct vfio_container;

/* What differs between a legacy container and an IOAS. -errno. */
struct vfio_container_ops {
	const char *name;   /* "type1v2", "iommufd" */
	const char *locked; /* line of /proc/PID/status in which pinned memory is counted */
	int (*map)(struct vfio_container *container, uint64_t iova, void *hva, uint64_t size,
		bool writable);
	int (*unmap)(struct vfio_container *container, uint64_t iova, uint64_t size);
	/* Reads limits again: they change when a device joins. */
	int (*refresh)(struct vfio_container *container, struct err *err);
	void (*close)(struct vfio_container *container);
};

#define VFIO_USABLE_MAX 64

struct vfio_container {
	struct vfio_container *next;
	struct vfio_context *context;
	const struct vfio_container_ops *ops;
	int fd;			      /* type1: owned, IOAS: the iommufd object's */
	struct vfio_iommufd *iommufd; /* IOAS only, as is ioas */
	uint32_t ioas;
	unsigned number; /* for people */
	unsigned users;	 /* type1: groups, IOAS: devices */
	struct ledger ledger;
	struct range usable[VFIO_USABLE_MAX]; /* ascending; none: no limit known */
	unsigned n_usable;
	uint64_t page_sizes; /* bit mask of IOMMU page sizes, 0: unknown */
	uint32_t maps_left;  /* mappings the kernel still allows, UINT32_MAX: unknown */
	bool ram_mapped;
	unsigned replaced;	   /* of ram->replaced: so many are mapped as they are now */
	unsigned reserved_devices; /* for whose BARs the ledger has entries reserved */
};

struct vfio_group {
	struct vfio_group *next;
	struct vfio_context *context;
	int number, fd;			  /* fd owned */
	unsigned users;			  /* attachments */
	struct vfio_container *container; /* NULL: not joined yet */
	bool in_kvm;
};

/* A BAR that other devices' DMA is to reach: its mapped pieces. */
struct vfio_p2p_bar {
	uint64_t addr;
	unsigned n_areas;
	struct pci_area area[PCI_AREAS_MAX];
	bool warned;
};

struct vfio_attachment {
	struct vfio_attachment *next;
	struct vfio_context *context;
	const struct vfio_lookup *lookup; /* borrowed */
	struct vfio_facts facts;
	struct uuid token; /* vf-token */
	struct vfio_device_io io;
	bool has_io;
	struct vfio_group *group;	  /* NULL: IOMMUFD */
	struct vfio_iommufd *iommufd;	  /* NULL: group */
	struct vfio_container *container; /* NULL: not attached yet */
	bool joined, in_kvm;		  /* IOMMUFD: steps done on the device fd */
	bool passed_used;		  /* IOMMUFD: the fd given for it was taken */
	atomic_bool cancelled;
	atomic_bool busy; /* in the guest's hands */
	struct vfio_p2p_bar p2p[VFIO_P2P_BARS];
	/* Its worker's, and that of whoever maps its BARs: never both. */
	atomic_bool resetting, being_mapped;
};

/* An -object iommufd. The list and users are guarded by tables, fd by context->lock. */
struct vfio_iommufd {
	struct vfio_iommufd *next;
	char *id;	/* owned */
	int fd;		/* owned, -1: not open */
	bool given;	/* came from the user: stays open between devices */
	unsigned users; /* attachments */
};

struct vfio_context {
	struct vfio_host host;
	struct vfio_lookup direct; /* for devices without another */
	struct vfio_env env;
	const struct ram *_Atomic ram; /* borrowed, NULL until laid out */
	pthread_mutex_t lock, tables;
	struct vfio_container *containers;
	struct vfio_group *groups;
	struct vfio_attachment *attachments;
	struct vfio_iommufd *iommufds;
	unsigned next_container;
	atomic_bool multi_reset; /* no guest runs, or it is being reset with all it has */
};

/* Mappings besides RAM that one device may ask for (its BARs' pieces). */
#define VFIO_BAR_PIECES 128 /* of a whole BAR; its areas may have one more each */
#define VFIO_DEVICE_MAPS (VFIO_P2P_BARS * (PCI_AREAS_MAX + VFIO_BAR_PIECES))

/* env.c */
long vfio_host_ioctl(struct vfio_context *context, int fd, unsigned long cmd, void *arg);
/* KVM's VFIO device; no-ops without one. */
int vfio_context_kvm_add(struct vfio_context *context, int fd);
void vfio_context_kvm_del(struct vfio_context *context, int fd);

/* token.c: vf-token. */
#define VFIO_TOKEN_NAME_MAX (SYSFS_NAME_MAX + 48)
/* Only PCI functions have one. -EINVAL. */
int vfio_token_check(const struct vfio_attachment *attachment, struct err *err);
/* How the kernel is asked for the device: its name, and the token. */
void vfio_token_name(
	const struct vfio_attachment *attachment, char out[static VFIO_TOKEN_NAME_MAX]);
/*
 * The kernel refused to open the device with code: -errno and text, if that is for its token; 0: it is
 * not. bind: by way of VFIO_DEVICE_BIND_IOMMUFD.
 */
int vfio_token_error(const struct vfio_attachment *attachment, int code, struct err *err);
int vfio_token_bind_error(const struct vfio_attachment *attachment, int code, struct err *err);

/* container.c: what both backends share. */
int vfio_container_new(struct vfio_container **out, struct vfio_context *context,
	const struct vfio_container_ops *ops);
/* A user goes; with the last one everything is unmapped and *container freed. NULL is fine. */
void vfio_container_put(struct vfio_container *container);
/* Unmaps what is left, without freeing: type1 must do that before its last group leaves. */
void vfio_container_unmap_all(struct vfio_container *container);
int vfio_container_map(struct vfio_container *container, const struct ledger_entry *entry,
	void *hva, bool writable);
int vfio_container_unmap(struct vfio_container *container, uint64_t iova, uint64_t size);
void vfio_container_unmap_owner(struct vfio_container *container, const void *owner);
int vfio_container_reserve(struct vfio_container *container, unsigned n);
void vfio_container_unreserve(struct vfio_container *container, unsigned n);

/* type1.c */
extern const struct vfio_container_ops vfio_type1_ops;
/* Puts the group into a container that takes it, or a new one. */
int vfio_type1_join(
	struct vfio_group *group, const struct vfio_attachment *attachment, struct err *err);
void vfio_type1_leave(struct vfio_group *group);

/* group.c: the attachment's group, opened and in a container. */
int vfio_group_get(
	struct vfio_context *context, struct vfio_attachment *attachment, struct err *err);
void vfio_group_put(struct vfio_group *group);

/* ram.c: all guest RAM into the attachment's container. */
/* Before anything is mapped: what is known to be in the way of that. */
int vfio_ram_may_map(struct vfio_attachment *attachment, struct err *err);
int vfio_ram_map(struct vfio_attachment *attachment, struct err *err);
/* Would RAM as it is laid out now be reachable for the device? No RAM yet: yes. */
int vfio_ram_check(const struct vfio_attachment *attachment, struct err *err);
/* Size of pieces so that RAM fits into maps_left mappings: a power of two; 0: cannot. */
uint64_t vfio_ram_piece_size(const struct ram *ram, uint32_t maps_left, unsigned *pieces);

/* peers.c; all with context->lock. Ledger entries for every device's BARs in every container. */
int vfio_peers_reserve(struct vfio_context *context);
void vfio_peers_forget(struct vfio_attachment *attachment);

/* Why the IOMMU does not take a device; type1.c. */
int vfio_iommu_error(const struct vfio_attachment *attachment, int code, struct err *err);

/*
 * iommufd.c: the other way to a container. passed: an fd open on the device's node, taken
 * (attachment->passed_used says whether it came to that); -1: none.
 */
int vfio_iommufd_attach(
	struct vfio_attachment *attachment, const char *id, int passed, struct err *err);
/* Out of the IOAS, which goes with its last device; the device fd is still open after it. */
void vfio_iommufd_leave(struct vfio_attachment *attachment);

/* iommufd_object.c */
int vfio_iommufd_get(struct vfio_attachment *attachment, const char *id, struct err *err);
/* NULL is fine. */
void vfio_iommufd_put(struct vfio_context *context, struct vfio_iommufd *iommufd);
void vfio_iommufd_free_all(struct vfio_context *context);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_device.h - a PCI card behind struct vfio_device_io_ops, and a machine around it: GSIs
 * and irqfds, a worker's and main's loop, a bus. For tests of the device side of src/vfio.
 *
 * The card keeps the kernel's rules for VFIO_DEVICE_SET_IRQS (one type at a time, no vectors beyond
 * the block unless it is resizable) and remembers every call. The machine takes what irqfds deliver
 * when fake_deliver() is called, as KVM does at once.
 */
#ifndef TESTS_FAKE_VFIO_DEVICE_H
#define TESTS_FAKE_VFIO_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../src/vfio/device.h"

#define FAKE_CALLS_MAX 512
#define FAKE_GSI_MAX 4096
#define FAKE_GSI_FIRST 24
#define FAKE_IRQFDS_MAX 4096

struct fake_irq_call {
	uint32_t index, flags, start, count;
	int32_t fd; /* the first; -2: no data */
	int armed;  /* fds that are not -1 */
};

struct fake_region {
	uint64_t size;
	uint32_t flags;
	uint8_t *bytes; /* what pread/pwrite see, NULL: reads as zero */
	unsigned n_sparse;
	struct region_span sparse[16];
	bool mapped;
};

struct fake_card {
	struct vfio_device_io io;
	pthread_mutex_t lock;
	uint8_t config[PCI_CONFIG_SIZE];
	unsigned config_size;
	struct fake_region region[VFIO_PCI_NUM_REGIONS];
	uint32_t irq_count[VFIO_PCI_NUM_IRQS], irq_flags[VFIO_PCI_NUM_IRQS];
	uint32_t flags;	  /* of the device info */
	uint32_t atomics; /* VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP; 0: the kernel says nothing */
	bool mediated;	  /* knows two kinds of interrupt, and no eventfd to unmask INTx by */

	/* state of the card's interrupts, as the kernel has it */
	int type;	/* VFIO_PCI_*_IRQ_INDEX, -1: none */
	unsigned block; /* vectors allocated */
	int32_t fd[MSIX_VECTORS_MAX];
	int32_t unmask_fd, err_fd, req_fd;
	bool intx_masked, intx_at_once; /* fires as soon as it may */
	bool line_off;			/* INTx disable in the hardware, not only in config space */
	unsigned unhandled;		/* times the line was open when its handler went */
	unsigned host_vectors;		/* more are refused with the number there is */

	struct fake_irq_call call[FAKE_CALLS_MAX];
	unsigned n_calls, disables;
	bool disable_failed; /* by a fault, which Linux does not have: the card keeps what was armed
			      */
	unsigned resets_armed; /* resets with an interrupt still armed */
	unsigned resets, config_writes, region_writes;
	int reset_error, map_error;
	unsigned silent_reads; /* after a reset the card answers ones so many times */
	unsigned silent;
	bool dead; /* every read is ones */
	unsigned last_offset;
	uint32_t last_value; /* of the last config write */

	/* Faults: the n-th call fails with fail_errno; 0: none. */
	unsigned long calls, fail_at;
	unsigned fail_irq; /* so many SET_IRQS from now: that one fails too */
	int fail_errno;
};

struct fake_irqfd {
	uint32_t gsi;
	int fd, resample_fd;
};

struct fake_machine {
	struct vfio_env env;
	struct irq_sink irq;
	pthread_mutex_t lock;
	bool gsi_used[FAKE_GSI_MAX], gsi_routed[FAKE_GSI_MAX];
	struct msi_message message[FAKE_GSI_MAX];
	unsigned delivered[FAKE_GSI_MAX];
	unsigned gsi_limit; /* how many may be allocated */
	unsigned gsis, n_irqfds, irqfd_adds, irqfd_dels;
	unsigned route_calls, route_changes; /* in each of them every vCPU was waited for */
	struct fake_irqfd irqfd[FAKE_IRQFDS_MAX];
	unsigned failed, wants_back;
	char violation[160];
	int irqfd_error, route_error;
	uint64_t bad_addr; /* KVM refuses it, and all that comes with it */

	struct loop worker, main;
	struct pci_sink sink;
	struct pci_bus bus;
	uint64_t bar_at[PCI_BARS]; /* 0: not mapped */
	unsigned commits;
	bool trapped; /* all BARs */
	unsigned traps;
	uint64_t graces, waited_for;
	struct io_request request;
	unsigned defers;
};

struct fake_rig {
	struct fake_card card;
	struct fake_machine machine;
	struct vfio_pci *dev;
	void (*set_options)(struct vfio_pci_options *options); /* before the device is made */
};

/* Cards. Each fills config, regions and interrupts. */
void fake_card_init(struct fake_card *card);
void fake_card_release(struct fake_card *card);
void fake_card_nvme(struct fake_card *card);   /* MSI-X, 65 vectors, 64-bit BAR, AER */
void fake_card_e1000e(struct fake_card *card); /* all of them, I/O BAR, ROM, AER, serial number */
void fake_card_vf(struct fake_card *card);     /* virtual function: no INTx, ARI, ATS, ACS */
void fake_card_gpu(struct fake_card *card);    /* first extended capability hidden, VSEC */
void fake_card_pci(struct fake_card *card);    /* conventional, INTx and I/O only, no reset */
void fake_card_edu(struct fake_card *card);    /* conventional, MSI with 32 vectors and masks */
void fake_cap(struct fake_card *card, unsigned at, unsigned id, unsigned next);
void fake_ext_cap(
	struct fake_card *card, unsigned at, unsigned id, unsigned version, unsigned next);

/* The kernel's end of closing the device's last fd: no eventfd is known any more. */
void fake_card_closed(struct fake_card *card);
/* The card fires; false: nothing listens in the kernel (it is lost, or stays in the card). */
bool fake_card_fire(struct fake_card *card, unsigned vector);

void fake_machine_init(struct fake_machine *machine);
void fake_machine_release(struct fake_machine *machine);
/* KVM takes what is signalled on connected eventfds. */
void fake_deliver(struct fake_machine *machine);

/*
 * A device made of the card that fill() describes, realized and plugged at 00:03.0 of a bus called
 * name ("pcie.0" or a root port's). Returns what realize returned.
 */
int fake_rig_init(struct fake_rig *rig, void (*fill)(struct fake_card *), const char *bus);
int fake_rig_realize(struct fake_rig *rig, const char *bus, struct err *err);
void fake_rig_release(struct fake_rig *rig);
/*
 * cmocka fixtures; the initial state is the rig. The end fails if anything of the device is left in
 * the machine.
 */
#define FAKE_RIG_START(name, fill, bus)                                                            \
	static int name(void **state)                                                              \
	{                                                                                          \
		return fake_rig_init(*state, fill, bus);                                           \
	}
int fake_rig_stop(void **state);
/* Runs what is in both mailboxes and on watched eventfds, then delivers. */
void fake_step(struct fake_rig *rig);
uint32_t fake_config_read(struct fake_rig *rig, unsigned offset, unsigned size);
/* Finishes deferred writes. True: it was deferred. */
bool fake_config_write(struct fake_rig *rig, unsigned offset, unsigned size, uint32_t value);
uint64_t fake_bar_read(struct fake_rig *rig, unsigned bar, uint64_t offset, unsigned size);
bool fake_bar_write(
	struct fake_rig *rig, unsigned bar, uint64_t offset, unsigned size, uint64_t value);
/* Interrupts delivered for a vector (by its GSI). */
unsigned fake_delivered(const struct fake_rig *rig, unsigned vector);

#endif

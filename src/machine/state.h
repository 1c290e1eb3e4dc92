/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the machine object itself. (private to src/machine)
 *
 * Layer: L4. Everything here belongs to the main thread; workers see the struct device they were
 *        given while a job of theirs runs, vCPUs their struct vcpu.
 */
#ifndef PORTCULLIS_MACHINE_STATE_H
#define PORTCULLIS_MACHINE_STATE_H

#include <portcullis/acpi_slots.h>
#include <portcullis/boot.h>
#include <portcullis/bus.h>
#include <portcullis/chardev.h>
#include <portcullis/closer.h>
#include <portcullis/devices.h>
#include <portcullis/err.h>
#include <portcullis/irq_sink.h>
#include <portcullis/kvm.h>
#include <portcullis/loop.h>
#include <portcullis/machine.h>
#include <portcullis/memory.h>
#include <portcullis/pci.h>
#include <portcullis/pci_host.h>
#include <portcullis/populate.h>
#include <portcullis/pvpanic.h>
#include <portcullis/root_port.h>
#include <portcullis/serial.h>
#include <portcullis/vcpu.h>

#include "device_class.h"
#include "life.h"

/* Work for the device's worker, one piece at a time; done runs on main afterwards. */
struct job {
	struct mail mail;
	struct device *device;
	int (*work)(struct device *device, struct err *err); /* ON_WORKER */
	void (*done)(struct device *device, int status);     /* ON_MAIN */
	int status;
	struct err err; /* the worker's while it runs */
	bool running;
};

struct device {
	struct device *next;
	struct machine *machine;
	const struct device_class *class;
	void *card;	  /* the class's */
	const char *id;	  /* the card's own, as are its options; or unnamed */
	char unnamed[32]; /* "#...": the user gave none, and clients are not told of it */
	const struct device_options *options;
	struct worker *worker;
	struct pci_bus *bus; /* where it goes */
	uint8_t devfn;
	bool multifunction;
	struct life life;      /* device_event() alone changes it */
	struct job job;	       /* of its life: open .. close, one at a time */
	struct job reset_job;  /* of a machine or bus reset, whatever else goes on */
	struct job memory_job; /* of replaced memory (memory_failure.c) */
	struct err err;	       /* of the last job that failed; main's */
	uint64_t grace;	       /* of its unplugging: over when no vCPU is in it any more */

	struct port *port; /* whose slot it is in; NULL on pcie.0 */
	/* Onto its bus, hot or cold (ON_MAIN): the last step of an add that may fail. */
	int (*place)(struct device *device, struct err *err);
	struct machine_op *add_op;  /* device_add's, until it is plugged */
	struct machine_op *del_ops; /* device_del's, until it is gone */
	struct err failure;	    /* why the add, or the start, failed */
	struct loop_timer deadline; /* of the stage it is in */
	bool host_wants_it;
	const char *error_told; /* errors.c: the severity last told, and when */
	uint64_t error_told_ms;

	/* struct device_notices */
	struct mail wanted, failed;
	atomic_bool wanted_posted, failed_posted;
};

/* What the worker of a device tells main of its own accord. On main, posted. */
struct device_notices {
	void (*wanted)(struct device *device); /* the host asks for it back */
	/* It reported an error (severity: vfio_query.h), or does not answer any more. */
	void (*failed)(struct device *device, const char *severity, bool lost);
};

/* A pcie-root-port and the slot behind it. */
struct port {
	struct port *next;
	struct machine *machine;
	struct root_port root;
	struct loop_timer ask_again; /* native: the guest was busy with the slot */
	bool stale;		     /* the guest has not let go of a card that was pulled */
	struct loop_timer stale_end;
	struct io_request *bus_reset; /* bus_reset.c: the guest's write that waits */
	unsigned bus_resets_left;
};

/*
 * memory_failure.c: pages of guest memory with uncorrectable errors. Main's, and what the signal
 * handler on main writes.
 */
#define MEMORY_PAGES 64
#define MEMORY_RING 16
struct memory_failures {
	uint64_t page[MEMORY_PAGES]; /* GPAs, each once */
	unsigned n_pages;
	uint64_t told_ms[MEMORY_OUTCOMES]; /* when clients last heard of each */
	/* Signal handler -> loop: errors that nobody has met yet, by address. */
	void *_Atomic ring[MEMORY_RING];
	_Atomic unsigned head, tail;
	int wake_fd; /* owned; -1 */
	struct loop_fd wake;
	/* What main met while it wrote guest memory. */
	_Atomic unsigned faults;
	_Atomic uint64_t fault_page;
	_Atomic int fault_code;
	/*
	 * memory_failures_remap_dma() is under way: jobs of devices, the first error, what comes then
	 */
	unsigned jobs_left;
	struct err err;
	void (*then)(struct machine *m, const struct err *err);
	struct io_request *load_fault; /* vCPU 0 waits for it */
};

struct machine {
	struct config *config; /* borrowed; device options are moved out of it */
	const struct board *board;
	struct loop loop;
	struct kvm_vm vm;
	struct bus bus;
	struct ram ram;
	bool ram_ready;
	struct boot_image boot;
	struct populate populate;
	struct populator *populators;
	unsigned n_populators;
	/* Of them, those that are not done yet; the last one says so. */
	_Atomic unsigned populating;
	struct mail populated;
	struct loop_timer progress_timer; /* progress.c */

	struct pci_sink sink;
	struct irq_sink irq_sink;
	struct pci_bus pcie0;
	struct pci_host host;
	struct pci_function host_bridge;
	struct pci_windows windows;
	uint64_t iova_end; /* what every device's IOMMU can map ends before it */
	struct port *ports;
	struct acpi_slots acpi_slots;
	const struct hotplug_ops *hotplug_ops;
	struct loop_timer hotplug_retry;

	struct serial serial;
	struct chardev *console;
	struct rtc rtc;
	struct power power;
	struct debug_exit debug_exit;
	struct ged ged;
	struct pvpanic_sink pvpanic;
	uint64_t panic_told_ms, crash_told_ms; /* panic.c: when clients last heard of it */
	int irq_fd[KVM_GSI_PINS];	       /* owned; -1 where nothing pulses */

	struct vfio_context *vfio; /* passthrough.c */
	const struct device_notices *notices;
	struct device *devices;
	unsigned n_unnamed;

	struct vcpu_gate gate;
	struct kvm_topology topology;
	struct vcpu *vcpus;
	unsigned n_vcpus;
	struct worker *workers;
	unsigned n_workers;
	struct closer closer;

	enum runstate runstate;
	bool run_after_reset, ending;
	bool held;	/* a device failed before the guest began: that waits for cont */
	bool resetting; /* that came first: what a vCPU asks for, or reports, meanwhile is void */
	enum shutdown_cause reset_cause;
	unsigned reset_jobs; /* reset.c */
	struct loop_timer reset_timer;
	/* run.c: the gate is closed, some vCPU may still execute the guest. */
	bool stopping;
	enum runstate stop_as;
	struct loop_timer stop_timer;
	struct machine_op *stop_ops; /* who waits for it */
	struct memory_failures memory;
	/* end.c */
	struct loop_timer end_timer;
	bool abandoned;
	int exit_status;
	int guest_status; /* what the guest wants that to be */

	void (*on_event)(void *opaque, const struct machine_event *event);
	void *on_event_opaque;
};

/* platform.c: the board's devices and their places in the address maps. */
int platform_init(struct machine *m, struct err *err) ON_MAIN;
void platform_release(struct machine *m);

/* guest_memory.c: the backends that RAM is made of, in the order of their GPAs; how many. */
unsigned guest_memory_backends(const struct config *config,
	struct ram_options out[static RAM_BACKENDS_MAX], uint64_t sizes[static RAM_BACKENDS_MAX]);
/* The guest's NUMA node that one of them belongs to. */
unsigned guest_memory_node(const struct config *config, unsigned backend);

/*
 * populate.c: threads for it, if RAM will be needed whole. Then: RAM has its pages, as far as it
 * must have them (-mem-prealloc, a backend's prealloc=on); where nobody asks, pinning it says
 * what is wrong. Signals are served.
 */
int populators_init(struct machine *m, struct err *err) ON_MAIN;
int machine_populate(struct machine *m, struct err *err) ON_MAIN;

/* progress.c: how far memory is, on a terminal, if it takes longer than a second. */
void progress_begin(struct machine *m) ON_MAIN;
void progress_end(struct machine *m) ON_MAIN;

/* panic.c: what guests say by pvpanic-pci. */
void panic_init(struct machine *m);

/* guest_requests.c: struct vcpu's stopped.run; power_init()'s on_event, opaque is the machine. */
void guest_vcpu_reported(struct mail *mail);
void guest_power_event(void *opaque, enum power_event event);

/* debug_exit.c: isa-debug-exit devices; after topology_init(). */
int debug_exits_init(struct machine *m, struct err *err) ON_MAIN;

/* topology.c: pcie.0, root ports; finding buses and free slots. */
int topology_init(struct machine *m, struct err *err) ON_MAIN;
void topology_release(struct machine *m);
struct pci_bus *topology_find_bus(struct machine *m, const char *name);
/* The port whose slot bus is; NULL for pcie.0. */
struct port *topology_port_of(struct machine *m, const struct pci_bus *bus);
/* Ids are of one space: a device with a port's would be taken for it by device_del. */
bool topology_has_port(const struct machine *m, const char *id);
/* addr -1: first free. Returns devfn or -errno with text. */
int topology_place(struct pci_bus *bus, int32_t addr, struct err *err);
/* Addresses for everything, as firmware would, and mapped. */
void topology_program(struct machine *m) ON_MAIN;
/* The 64-bit window, above memory and if possible where DMA reaches. Pure. */
void windows_place(struct pci_windows *windows, uint64_t ram_top, uint64_t iova_end);

/* passthrough.c: VFIO, whose devices share a context. */
int passthrough_init(struct machine *m, struct err *err) ON_MAIN;
/* At the end: what clients handed over is the closer's. */
void passthrough_end_clients(struct machine *m) ON_MAIN;
void passthrough_release(struct machine *m);
void passthrough_set_ram(struct machine *m);
/* Bytes of RAM in the container whose worker is pinning it; 0: in none. */
uint64_t passthrough_pinned(struct machine *m);
/* Nobody maps BARs for peer-to-peer DMA meanwhile. */
void passthrough_set_multi_reset(struct machine *m, bool allowed) ON_MAIN;
/* NULL: a device of another class. */
struct vfio_pci *passthrough_card(const struct device *device);
/* Objects of type iommufd, for objects.c. Takes options. */
struct vfio_iommufd_options;
int passthrough_iommufd_add(
	struct machine *m, struct vfio_iommufd_options *options, struct err *err) ON_MAIN;
int passthrough_iommufd_del(struct machine *m, const char *id, struct err *err) ON_MAIN;

/* bars.c: struct pci_sink, what PCI functions may ask of the machine. */
void sink_init(struct machine *m);

/* irq_sink.c: what devices may ask of the interrupt controllers. */
void irq_sink_init(struct machine *m);

/*
 * device_new.c: takes options (prop.h). check (NULL: none): may it go where it has its place?
 */
struct device *device_new(struct machine *m, const struct device_class *class, void *options,
	int (*check)(const struct device *device, struct err *err), struct err *err) ON_MAIN;
void device_free(struct device *device); /* idle, closed or never opened */
/* Is there a way to do what on-error says, where the device goes? */
int device_check_policy(
	const struct device *device, const struct device_options *options, struct err *err);
struct device *device_find(struct machine *m, const char *id);

/*
 * device.c: posts work to the device's worker; job is one of the device's and not running, nor is
 * the device leaving: it is freed then, and nothing is posted behind that. False: one of these
 * rules is broken, and nothing was posted.
 */
bool device_job(struct device *device, struct job *job, int (*work)(struct device *, struct err *),
	void (*done)(struct device *, int));
/*
 * Something happened to the device: its next stage (life.h), what follows from that, and answers to
 * whoever waits for it. May free it. Debug builds stop where there is no such step.
 */
void device_event(struct device *device, enum life_event event) ON_MAIN;
/* It is being fenced or closed. */
static inline bool device_leaving(const struct device *device)
{
	return device->life.work >= LIFE_FENCING;
}

/* It is the guest's, asked to let go or not. */
static inline bool device_on_bus(const struct device *device)
{
	return device->life.stage == DEVICE_PLUGGED || device->life.stage == DEVICE_REQUESTED;
}

/* Was the guest asked to let go of what is behind port? */
bool port_asked(const struct port *port);
bool device_busy(const struct device *device); /* a job of its is under way */
bool device_jobs_running(const struct machine *m);
/* DMA goes to guest memory as it is now (vfio_pci_map_ram()). */
int device_memory_job(struct device *device, struct err *err);
/* Will that succeed, as far as can be known? */
int device_check_memory_job(struct device *device, struct err *err);
int device_reset_job(struct device *device, struct err *err);
int device_plug(struct device *device, struct err *err) ON_MAIN;

/* bus_reset.c: root_port_ops.on_bus_reset() */
bool port_bus_reset(struct port *port, struct io_request *request) ON_MAIN;

/* run.c */
const char *shutdown_reason(enum shutdown_cause cause);
bool shutdown_by_guest(enum shutdown_cause cause);
/*
 * The guest is stopped and the run state becomes as, at once or as soon as no vCPU executes it; op
 * (NULL: nobody) is done then.
 */
void machine_stop(struct machine *m, enum runstate as, struct machine_op *op) ON_MAIN;

/* memory_failure.c */
int memory_failures_init(struct machine *m, struct err *err) ON_MAIN;
void memory_failures_release(struct machine *m);
/*
 * Around the writing of guest memory, no vCPU runs: broken pages are replaced. Then: was there one
 * that could not be? The error names it.
 */
void memory_failures_mend(struct machine *m) ON_MAIN;
int memory_failures_check(struct machine *m, struct err *err) ON_MAIN;
/*
 * Has devices' DMA go to what was replaced, on their workers, and calls then: at once when nothing
 * was; err NULL: it does. The guest does not run meanwhile.
 */
void memory_failures_remap_dma(
	struct machine *m, void (*then)(struct machine *m, const struct err *err)) ON_MAIN;
/* vCPUs' errors do not outlive their reset. */
void memory_failures_forget(struct machine *m);

/* vcpus.c */
/* Gets a vCPU out of KVM_RUN; what it is to see there was written before. */
void vcpu_kick(struct vcpu *v);
bool vcpu_runs(const struct vcpu *v);
/* Closes the gate and calls the vCPUs back; waits for none of them. */
void vcpus_stop(struct machine *m);
/* No vCPU executes the guest. One may still be inside an access, and parks after it. */
bool vcpus_stopped(const struct machine *m);
/* Every vCPU waits at the gate: none is even inside an access that somebody else finishes. */
bool vcpus_parked(const struct machine *m);
void vcpus_go(struct machine *m);
/*
 * All are parked: have they no access left that KVM would finish after the reset? Asks those who
 * have. False: look again later.
 */
bool vcpus_finished(struct machine *m);
/* All are parked: they start anew when the gate opens; what they reported before is void. */
void vcpus_reset(struct machine *m) ON_MAIN;

/* load.c */
/* Kernel, tables and registers for a fresh start; vCPUs are stopped. */
int machine_load(struct machine *m, struct err *err) ON_MAIN;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.h - what the machine shares with the threads that run it: a vCPU, the gate before all of
 * them, a worker.
 *
 * Layer: L4, includes below; only src/machine and threads/ include it.
 * Who:   each field says whose it is. The gate is main's; vCPUs only look.
 */
#ifndef PORTCULLIS_VCPU_H
#define PORTCULLIS_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/boot.h>
#include <portcullis/bus.h>
#include <portcullis/kvm_vcpu.h>
#include <portcullis/loop.h>
#include <portcullis/role.h>

struct device;
struct machine;
struct vfio_lookup;

/* What a vCPU is doing, for pause and reset. Written by the vCPU, read by main. */
enum vcpu_state {
	VCPU_PARKED,  /* waiting on the gate, or finishing an access there (vcpu.finish) */
	VCPU_RUNNING, /* in KVM_RUN or handling an access */
	VCPU_ENDED,
};

/*
 * Uncorrectable errors in the guest's memory, on their way between a vCPU, which alone can tell the
 * guest, and main, which tells everybody else (memory_failure.c).
 */
#define MEMORY_OUTCOMES 32
struct vcpu_memory {
	_Atomic uint32_t asked; /* enum memory_ask: what the vCPU is to tell */
	/*
	 * Addresses in the VMM of what is asked; 0: none. The first one stays until it is told: of
	 * others the guest hears when it meets them.
	 */
	_Atomic uint64_t required, optional;
	struct mail mail; /* to main: there is news */
	_Atomic bool posted;
	_Atomic uint32_t news; /* what became of errors, a bit for each outcome */
	/* The last one of each outcome: a GPA, or an address in the VMM that is no guest memory. */
	_Atomic uint64_t address[MEMORY_OUTCOMES];
};
enum memory_ask {
	MEMORY_ASK_REQUIRED = 1, /* by the vCPU's own thread: KVM_RUN ran into it */
	MEMORY_ASK_OPTIONAL = 2, /* by main: the host found it */
	MEMORY_ASK_SHARE = 4,	 /* by main: another vCPU has one, and it is broadcast */
};

struct vcpu {
	struct kvm_vcpu kvm;
	struct bus_reader reader;
	struct io_request request;
	struct bus *bus;
	struct vcpu_gate *gate;
	struct machine *machine; /* only for vcpu_report() and memory_failure.c */
	pthread_t thread;
	_Atomic int tid;	/* of that thread, for query-cpus-fast */
	_Atomic uint32_t state; /* enum vcpu_state */
	_Atomic bool needs_reset;
	_Atomic bool finish; /* main's wish: finish the access that KVM holds, at the gate */
	_Atomic bool halted; /* cannot go on before a reset */
	struct mail stopped; /* how it reports why it cannot go on (guest_requests.c hears of it) */
	struct vcpu_memory memory;
	char why[256];
	int exit_kind; /* enum kvm_exit_kind that stopped it */
};

/* Opens and closes for all vCPUs at once. */
struct vcpu_gate {
	/*
	 * Futex word: GATE_*, and above it a count: whoever is about to sleep on what it has
	 * read is not fooled by a gate that has closed and opened since, or by a wish.
	 */
	_Atomic uint32_t open;
	/*
	 * Futex word: vCPUs but the first that have yet to be reset. The first one, which alone
	 * runs at once, waits for them: an INIT and a SIPI that it sent before would be forgotten
	 * with their old state, and they would sleep for ever. Main sets it while all are parked.
	 */
	_Atomic uint32_t others;
	/* For vCPU 0 after a reset; main writes them while all are parked. */
	struct boot_load load;	/* what it copies into RAM first */
	struct kvm_entry entry; /* what it starts with then */
};
enum { GATE_CLOSED, GATE_OPEN, GATE_END, GATE_STATES = 4 };
static inline unsigned gate_state(uint32_t open)
{
	return open % GATE_STATES;
}

/* A loop that some thread runs for the device, of any class, that it is given. */
struct worker {
	struct loop loop;
	pthread_t thread;
	unsigned index;
	struct device *device;		  /* main's: NULL = idle */
	const struct vfio_lookup *lookup; /* who goes by name for it; NULL: itself */
};

/*
 * Gives RAM its pages at the start, beside others (populate.h), and then ends. There are none where
 * nobody needs all of RAM at once: no -mem-prealloc, and no device whose DMA goes to it.
 */
struct populator {
	struct populate *populate; /* the machine's */
	struct machine *machine;
	pthread_t thread;
};
/* Its last word. */
void populator_done(struct populator *populator);

/* vCPU threads: why one cannot go on. The machine stops (internal error) or resets/ends. */
void vcpu_report(struct vcpu *vcpu, int exit_kind, const char *why) ON_VCPU;

/*
 * KVM_RUN met an uncorrectable error: SIGBUS with BUS_MCEERR_AR or (required false) _AO. Written
 * down for vcpu_memory_tell().
 */
void vcpu_memory_error(struct vcpu *vcpu, bool required, void *addr) ON_VCPU;
/* The same while an access is finished before a reset: the new guest gets fresh memory. */
void vcpu_memory_met(struct vcpu *vcpu, void *addr) ON_VCPU;
/*
 * Outside KVM_RUN, when memory.asked is set: tells the guest, and the gate is to be looked at
 * again. False: the next KVM_RUN comes first; it completes an access and returns.
 */
bool vcpu_memory_tell(struct vcpu *vcpu) ON_VCPU;
/*
 * Guest memory at addr could not be written (a SIGBUS, si_code code). Waits for main, outside the
 * map: true when there is fresh memory; false: the machine ends.
 */
bool vcpu_load_fault(struct vcpu *vcpu, int code, void *addr) ON_VCPU;

/*
 * Main got a SIGBUS: false when it cannot go on. Called in the signal handler: writes down, wakes
 * the loop, replaces a page of guest memory that main itself was writing.
 */
bool machine_sigbus(struct machine *machine, int code, void *addr);

#endif

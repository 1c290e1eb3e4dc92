/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_failure.c - the host's memory has an uncorrectable error below the guest.
 *
 * The kernel tells in two ways, both SIGBUS. A vCPU that needs the page gets BUS_MCEERR_AR out of
 * KVM_RUN and injects a machine check into itself. Main gets BUS_MCEERR_AO when the host has found
 * an error that nobody has met yet, and asks vCPU 0 to tell the guest. Either way it is main that
 * shares a broadcast machine check with the other vCPUs, tells the clients (MEMORY_FAILURE, as
 * QEMU), and resets or ends a machine that cannot go on.
 *
 * A page that is met while a guest is loaded is replaced by fresh memory: in the signal handler
 * when it is main that writes tables (machine_sigbus()), by main when it is vCPU 0 that copies the
 * kernel (vcpu_load_fault()). So is, when the guest starts anew, what is known to be broken. The
 * DMA of passed-through devices follows (memory_failures_remap_dma()) before the guest runs.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include <portcullis/debug.h>
#include <portcullis/log.h>
#include <portcullis/mce.h>
#include <portcullis/sys.h>

#include "plug.h"

/* What came of an error; a bit each in vcpu_memory.news. */
#define OUTCOME(kind, fate, recursive)                                                             \
	((unsigned)(kind)*8 + (unsigned)(fate)*2 + (unsigned)(recursive))
enum {
	OUTSIDE_REQUIRED = OUTCOME(MCE_SHARE, 0, 0), /* not the guest's memory: the VMM's own */
	OUTSIDE_OPTIONAL,
	MENDED, /* met while the guest was loaded, and replaced */
	OUTCOMES,
};
_Static_assert(MCE_REQUIRED == 0 && MCE_OPTIONAL == 1 && MCE_SHARE == 2, "see OUTCOME()");
_Static_assert(OUTCOMES <= MEMORY_OUTCOMES, "a bit for each");

#define FATAL_NEWS                                                                                 \
	(1u << OUTSIDE_REQUIRED | 1u << OUTCOME(MCE_REQUIRED, MCE_IMPOSSIBLE, 0) |                 \
		1u << OUTCOME(MCE_REQUIRED, MCE_IMPOSSIBLE, 1))

/* QEMU's words for an outcome, and ours for the log. */
struct words {
	const char *recipient, *action, *text;
};
static const struct words guest_words[] = {
	[MCE_INJECTED] = { "guest", "inject", "the guest is told" },
	[MCE_IGNORED] = { "guest", "ignore", "the guest does not listen now" },
	[MCE_SHUTDOWN] = { "guest", "reset", "the guest cannot take it and is reset" },
};
static const struct words ignored = { "hypervisor", "ignore", "nobody has met it yet" };
static const struct words fatal = { "hypervisor", "fatal", "it is needed" };
static const struct words mended = { "hypervisor", "ignore", "replaced by fresh memory" };

static const struct words *words_of(unsigned outcome)
{
	const unsigned fate = outcome % 8 / 2;

	if (outcome == MENDED)
		return &mended;
	if (outcome == OUTSIDE_OPTIONAL)
		return &ignored;
	if (outcome >= OUTSIDE_REQUIRED)
		return &fatal;
	if (fate == MCE_IMPOSSIBLE)
		return outcome / 8 == MCE_REQUIRED ? &fatal : &ignored;
	return &guest_words[fate];
}

static bool is_required(unsigned outcome)
{
	return outcome < OUTSIDE_REQUIRED ? outcome / 8 == MCE_REQUIRED
					  : outcome != OUTSIDE_OPTIONAL;
}

static void emit(struct machine *m, unsigned outcome) ON_MAIN
{
	const struct words *words = words_of(outcome);

	if (told_lately(&m->memory.told_ms[outcome]))
		return;
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_MEMORY_FAILURE,
				.recipient = words->recipient,
				.action = words->action,
				.action_required = is_required(outcome),
				.recursive = outcome < OUTSIDE_REQUIRED && outcome & 1 });
}

/* The list of pages also bounds what is said of them. */
static void note_page(struct machine *m, uint64_t gpa, const char *text)
{
	struct memory_failures *f = &m->memory;

	gpa = ram_page_start(&m->ram, gpa);
	for (unsigned i = 0; i < f->n_pages; i++)
		if (f->page[i] == gpa)
			return;
	if (f->n_pages == MEMORY_PAGES)
		return;
	f->page[f->n_pages++] = gpa;
	log_warn("guest memory at %#llx has an uncorrectable error: %s", (unsigned long long)gpa,
		text);
}

/* --- on the vCPU --- */

static void publish(struct vcpu *v, unsigned outcome, uint64_t address)
{
	struct vcpu_memory *mem = &v->memory;

	atomic_store(&mem->address[outcome], address);
	atomic_fetch_or(&mem->news, 1u << outcome);
	/* Main takes the flag back before it looks: what it does not see is posted again. */
	if (!atomic_exchange(&mem->posted, true))
		loop_post(&v->machine->loop, &mem->mail);
}

/* False: one is on its way already. */
static bool write_down(struct vcpu *v, enum memory_ask what, void *addr)
{
	uint64_t none = 0;

	if (!atomic_compare_exchange_strong(
		    what == MEMORY_ASK_REQUIRED ? &v->memory.required : &v->memory.optional, &none,
		    (uintptr_t)addr))
		return false;
	atomic_fetch_or(&v->memory.asked, what);
	return true;
}

void vcpu_memory_error(struct vcpu *v, bool required, void *addr)
{
	(void)write_down(v, required ? MEMORY_ASK_REQUIRED : MEMORY_ASK_OPTIONAL, addr);
}

void vcpu_memory_met(struct vcpu *v, void *addr)
{
	uint64_t gpa;

	if (ram_gpa(&v->machine->ram, addr, &gpa))
		publish(v, OUTCOME(MCE_OPTIONAL, MCE_IGNORED, 0), gpa);
}

static void tell(struct vcpu *v, enum mce_kind kind, uint64_t address) ON_VCPU
{
	const bool required = kind == MCE_REQUIRED;
	uint64_t gpa = 0;
	enum mce_fate fate;
	bool recursive;

	if (kind != MCE_SHARE && !ram_gpa(&v->machine->ram, (void *)(uintptr_t)address, &gpa)) {
		atomic_store(&v->halted, required);
		publish(v, required ? OUTSIDE_REQUIRED : OUTSIDE_OPTIONAL, address);
		return;
	}
	fate = kvm_vcpu_mce(&v->kvm, kind, gpa, &recursive);
	if (kind == MCE_SHARE)
		return;
	if (required && fate != MCE_INJECTED)
		atomic_store(&v->halted, true);
	publish(v, OUTCOME(kind, fate, recursive), gpa);
	if (fate == MCE_SHUTDOWN)
		vcpu_report(
			v, KVM_EXITED_SHUTDOWN, "shut down by a memory error: the guest is reset");
}

bool vcpu_memory_tell(struct vcpu *v)
{
	struct vcpu_memory *mem = &v->memory;
	uint32_t asked;

	if (v->kvm.io_pending) {
		/* No exception in the middle of an instruction: its access is completed first. */
		kvm_vcpu_immediate_exit(&v->kvm, true);
		return false;
	}
	asked = atomic_exchange(&mem->asked, 0);
	/* What the vCPU cannot do without comes first: in its handler it needs nothing shared. */
	if (asked & MEMORY_ASK_REQUIRED)
		tell(v, MCE_REQUIRED, atomic_exchange(&mem->required, 0));
	if (asked & MEMORY_ASK_SHARE && !atomic_load(&v->halted))
		tell(v, MCE_SHARE, 0);
	if (asked & MEMORY_ASK_OPTIONAL && !atomic_load(&v->halted))
		tell(v, MCE_OPTIONAL, atomic_exchange(&mem->optional, 0));
	return true;
}

/* --- on main --- */

static void ask(struct vcpu *v, enum memory_ask what)
{
	atomic_fetch_or(&v->memory.asked, what);
	vcpu_kick(v);
}

static void share(struct machine *m, const struct vcpu *from)
{
	for (unsigned i = 0; i < m->n_vcpus; i++)
		if (&m->vcpus[i] != from)
			ask(&m->vcpus[i], MEMORY_ASK_SHARE);
}

static void end_of(struct machine *m, unsigned outcome, uint64_t address) ON_MAIN
{
	if (outcome == OUTSIDE_REQUIRED)
		log_error(
			"uncorrectable memory error at %#llx in portcullis' own memory, which KVM needs: the machine ends",
			(unsigned long long)address);
	else
		log_error(
			"guest memory at %#llx has an uncorrectable error, and this host's KVM cannot tell the guest: the machine ends",
			(unsigned long long)address);
	emit(m, outcome);
	machine_shutdown(m, SHUTDOWN_HOST_ERROR);
}

static void outcome_known(struct vcpu *v, unsigned outcome, uint64_t address) ON_MAIN
{
	struct machine *m = v->machine;

	if (1u << outcome & FATAL_NEWS) {
		end_of(m, outcome, address);
		return;
	}
	if (outcome == OUTSIDE_OPTIONAL)
		log_guest("uncorrectable memory error at %#llx in portcullis' own memory",
			(unsigned long long)address);
	else
		note_page(m, address, words_of(outcome)->text);
	if (outcome < OUTSIDE_REQUIRED && outcome % 8 / 2 == MCE_INJECTED &&
		kvm_vcpu_mce_broadcast(&v->kvm))
		share(m, v);
	emit(m, outcome);
}

/* From publish(). */
static void on_news(struct mail *mail)
{
	struct vcpu *v = container_of(mail, struct vcpu, memory.mail);
	uint32_t news;

	role_enter_main();
	atomic_store(&v->memory.posted, false);
	news = atomic_exchange(&v->memory.news, 0);
	if (v->machine->resetting)
		news &= ~FATAL_NEWS; /* fresh memory is on its way */
	for (unsigned i = 0; i < OUTCOMES; i++)
		if (news & 1u << i)
			outcome_known(v, i, atomic_load(&v->memory.address[i]));
}

/* BUS_MCEERR_AO: the host has found an error that nobody has met. */
static void found(struct machine *m, void *address) ON_MAIN
{
	struct vcpu *v = m->vcpus;
	uint64_t gpa;

	if (!m->ram_ready || !ram_gpa(&m->ram, address, &gpa)) {
		log_guest("uncorrectable memory error at %p in portcullis' own memory: %s", address,
			ignored.text);
		emit(m, OUTSIDE_OPTIONAL);
		return;
	}
	note_page(m, gpa, ignored.text);
	if (write_down(v, MEMORY_ASK_OPTIONAL, address))
		vcpu_kick(v);
	else /* it has not told the guest of the last one yet */
		emit(m, OUTCOME(MCE_OPTIONAL, MCE_IGNORED, 0));
}

static void on_wake(void *opaque, uint32_t events)
{
	struct machine *m = opaque;
	struct memory_failures *f = &m->memory;

	(void)events;
	role_enter_main();
	(void)sys_eventfd_drain(f->wake_fd);
	while (atomic_load(&f->tail) != atomic_load(&f->head)) {
		void *address = atomic_load(&f->ring[atomic_load(&f->tail) % MEMORY_RING]);

		atomic_fetch_add(&f->tail, 1);
		found(m, address);
	}
}

/* Signal handler on main: system calls and atomics only. */
bool machine_sigbus(struct machine *m, int code, void *address)
{
	struct memory_failures *f = &m->memory;
	unsigned head = atomic_load(&f->head);
	uint64_t gpa;

	if (code == BUS_MCEERR_AO) {
		/* What does not fit is met by somebody, later. */
		if (head - atomic_load(&f->tail) < MEMORY_RING) {
			atomic_store(&f->ring[head % MEMORY_RING], address);
			atomic_store(&f->head, head + 1);
			sys_eventfd_signal(f->wake_fd);
		}
		return true;
	}
	if (code == BUS_ADRALN || !m->ram_ready || !ram_gpa(&m->ram, address, &gpa) ||
		ram_replace(&m->ram, gpa))
		return false;
	if (!atomic_load(&f->faults) || code != BUS_MCEERR_AR) {
		atomic_store(&f->fault_page, ram_page_start(&m->ram, gpa));
		atomic_store(&f->fault_code, code);
	}
	atomic_fetch_add(&f->faults, 1);
	return true;
}

static void remapped(struct device *device, int status) ON_MAIN
{
	struct machine *m = device->machine;
	struct memory_failures *f = &m->memory;

	if (status && life_may(&device->life, LIFE_CANCEL))
		device_event(device, LIFE_CANCEL); /* it is not the guest's yet, and will not be */
	else if (status && !f->err.code)
		f->err = device->err;
	if (--f->jobs_left == 0)
		f->then(m, f->err.code ? &f->err : NULL);
}

/*
 * May its DMA go to guest memory, now or when it is plugged? One that is being added may have
 * mapped all memory by now, if it is open. One that is being closed is freed after that:
 * nothing may be posted behind it.
 */
static bool reaches_memory(const struct device *device)
{
	return device->life.stage >= DEVICE_ATTACHED && device->life.stage <= DEVICE_REQUESTED &&
	       !device_leaving(device);
}

void memory_failures_remap_dma(
	struct machine *m, void (*then)(struct machine *, const struct err *))
{
	struct memory_failures *f = &m->memory;

	debug_check(!f->jobs_left, "nothing is loaded while memory for DMA changes");
	if (f->jobs_left) {
		struct err err = { 0 };

		err_set(&err, EBUSY, "memory for DMA is being changed already");
		then(m, &err);
		return;
	}
	f->err = (struct err){ 0 };
	f->then = then;
	f->jobs_left = 1; /* ours, so that the count cannot reach 0 while we post */
	for (struct device *d = m->devices; d && atomic_load(&m->ram.n_replaced); d = d->next) {
		if (!reaches_memory(d))
			continue;
		f->jobs_left += device_job(d, &d->memory_job, device_memory_job, remapped);
	}
	if (--f->jobs_left == 0)
		then(m, NULL);
}

/* A page that was met while the guest was loaded: 0, fresh memory will do; or -EIO and why not. */
static int judge(struct machine *m, int code, unsigned long long page, struct err *err) ON_MAIN
{
	if (code == BUS_MCEERR_AR) {
		log_warn("guest memory at %#llx had an uncorrectable error: %s", page, mended.text);
		emit(m, MENDED);
		return 0;
	}
	err_set(err, EIO, "the host cannot provide guest memory at %#llx", page);
	if (m->config->mem_path)
		err_append(err, ": the file in '%s' was truncated, or huge pages ran out",
			m->config->mem_path);
	return -EIO;
}

/* vCPU 0 goes on, or the machine ends. */
static void load_fault_done(struct machine *m, const struct err *err) ON_MAIN
{
	struct io_request *request = m->memory.load_fault;

	m->memory.load_fault = NULL;
	if (err && !m->ending) {
		log_error("cannot load the guest: %s", err->text);
		machine_shutdown(m, SHUTDOWN_HOST_ERROR);
	}
	request->data = !err;
	io_complete(request);
}

/* On main, for vcpu_load_fault(). */
static void load_fault(struct io_request *request)
{
	struct machine *m = request->opaque;
	struct err err = { 0 };
	uint64_t gpa = 0;
	int ret;

	role_enter_main();
	m->memory.load_fault = request;
	if (!ram_gpa(&m->ram, (void *)(uintptr_t)request->data, &gpa))
		ret = err_set(&err, EFAULT, "memory of portcullis' own cannot be had");
	else
		ret = judge(m, (int)request->arg, ram_page_start(&m->ram, gpa), &err);
	if (!ret) {
		ret = ram_replace(&m->ram, gpa);
		if (ret)
			err_set_errno(&err, -ret, "cannot replace guest memory at %#llx",
				(unsigned long long)gpa);
	}
	if (ret)
		load_fault_done(m, &err);
	else
		memory_failures_remap_dma(m, load_fault_done);
}

bool vcpu_load_fault(struct vcpu *v, int code, void *addr)
{
	struct io_access access = {
		.data = (uintptr_t)addr, .size = sizeof(addr), .write = true, .request = &v->request
	};

	(void)io_defer(&access, &v->machine->loop, load_fault, v->machine, (uint32_t)code);
	io_post(&v->request);
	io_wait(&v->request);
	return v->request.data;
}

void memory_failures_mend(struct machine *m)
{
	struct memory_failures *f = &m->memory;
	unsigned kept = 0;

	for (unsigned i = 0; i < f->n_pages; i++)
		if (ram_replace(&m->ram, f->page[i]))
			f->page[kept++] = f->page[i];
	if (kept < f->n_pages)
		log_guest("%u pages of guest memory with uncorrectable errors were replaced",
			f->n_pages - kept);
	f->n_pages = kept;
}

int memory_failures_check(struct machine *m, struct err *err)
{
	struct memory_failures *f = &m->memory;
	const int code = atomic_load(&f->fault_code);
	const unsigned long long page = atomic_load(&f->fault_page);

	if (!atomic_exchange(&f->faults, 0))
		return 0;
	return judge(m, code, page, err);
}

void memory_failures_forget(struct machine *m)
{
	for (unsigned i = 0; i < m->n_vcpus; i++) {
		struct vcpu_memory *memory = &m->vcpus[i].memory;

		atomic_store(&memory->asked, 0);
		atomic_store(&memory->required, 0);
		atomic_store(&memory->optional, 0);
		atomic_fetch_and(&memory->news, ~FATAL_NEWS);
	}
}

int memory_failures_init(struct machine *m, struct err *err)
{
	struct memory_failures *f = &m->memory;
	int ret;

	for (unsigned i = 0; i < m->n_vcpus; i++)
		m->vcpus[i].memory.mail.run = on_news;
	f->wake_fd = sys_eventfd();
	ret = f->wake_fd;
	f->wake = (struct loop_fd){ .fd = f->wake_fd, .fn = on_wake, .opaque = m };
	if (ret >= 0)
		ret = loop_fd_add(&m->loop, &f->wake, EPOLLIN);
	return ret < 0 ? err_set_errno(err, -ret, "cannot watch for memory errors") : 0;
}

void memory_failures_release(struct machine *m)
{
	sys_closep(&m->memory.wake_fd);
}

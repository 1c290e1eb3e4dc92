/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_fixture.h - a machine that only remembers what was asked of it.
 *
 * Layer: tests. Included by one file of a program: it defines what src/qmp needs of src/machine.
 */
#ifndef PORTCULLIS_QMP_FIXTURE_H
#define PORTCULLIS_QMP_FIXTURE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/machine_query.h>
#include <portcullis/machine_vfio.h>
#include <portcullis/pci.h>
#include <portcullis/vfio.h>

struct machine {
	struct config config;
	struct loop loop;
	struct closer *closer; /* the test's, or NULL */
	enum runstate state;
	struct machine_actions actions;
	char calls[1024];      /* what was called, one word each */
	struct machine_op *op; /* of device_add or device_del, not answered yet */
	const struct prop_type *type;
	struct vfio_pci_options *options;
	int device_fd, object_fd; /* of the last device_add and object-add; -1: without */
	bool answer_at_once;
	int answer; /* errno */
	int run_error;
	void (*on_pause)(void); /* as if stopping the vCPUs stepped the loop */
	struct pci_bus bus;
	struct pci_function host, nic;
	const struct machine_vfio *vfio; /* NULL: no device is passed through */
	void (*on_event)(void *opaque, const struct machine_event *event);
	void *on_event_opaque;
};

static void machine_note(struct machine *m, const char *what)
{
	strcat(m->calls, what);
	strcat(m->calls, " ");
}

static void machine_setup(struct machine *m)
{
	*m = (struct machine){ .state = RUNSTATE_RUNNING };
	m->config.name = (char *)(uintptr_t) "vm";
	memset(m->config.uuid.byte, 0xab, sizeof(m->config.uuid.byte));
	pci_bus_init(&m->bus, "pcie.0", NULL, NULL);
	pci_function_init(&m->host, "host bridge", NULL, NULL);
	pci_put(m->host.config, 0, 4, 0x29c08086);
	pci_put(m->host.config, 0x0a, 2, 0x0600);
	pci_function_init(&m->nic, "net", NULL, NULL);
	m->nic.devfn = PCI_DEVFN(3, 1);
	pci_put(m->nic.config, 0x0a, 2, 0x0200);
	pci_put(m->nic.config, 0x3d, 1, 1);
	pci_set_bar(&m->nic, 0, PCI_BAR_MEM64, 0x4000, true);
	pci_set_bar(&m->nic, 2, PCI_BAR_IO, 0x20, false);
	m->nic.bar[0].mapped = true;
	m->nic.bar[0].mapped_at = 0x8000000000;
	atomic_store(&m->host.bus, &m->bus);
	atomic_store(&m->nic.bus, &m->bus);
}

static void machine_teardown(struct machine *m)
{
	pci_function_release(&m->host);
	pci_function_release(&m->nic);
	if (m->options)
		props_free(m->type, m->options, m->closer);
}

/* Ends the operation that waits. */
static void machine_answer(struct machine *m, int code)
{
	struct machine_op *op = m->op;
	struct err err = { 0 };

	m->op = NULL;
	if (code)
		err_set(&err, code, "device 'x' says no");
	op->done(op, code ? &err : NULL);
}

enum runstate machine_runstate(const struct machine *m)
{
	return m->state;
}

const struct config *machine_config(const struct machine *m)
{
	return &m->config;
}

struct loop *machine_loop(struct machine *m)
{
	return &m->loop;
}

struct closer *machine_closer(struct machine *m)
{
	return m->closer;
}

void machine_on_event(
	struct machine *m, void (*fn)(void *, const struct machine_event *), void *opaque)
{
	m->on_event = fn;
	m->on_event_opaque = opaque;
}

unsigned machine_vcpus(struct machine *m, struct vcpu **out)
{
	(void)m;
	*out = NULL;
	return 2;
}

void machine_query_cpu(struct machine *m, unsigned index, struct machine_cpu *out)
{
	(void)m;
	*out = (struct machine_cpu){ .index = index, .core = index, .tid = 1000 + (int)index };
}

void machine_query_functions(
	struct machine *m, struct pci_bus *bus, machine_function_fn fn, void *opaque)
{
	if (bus)
		return;
	fn(&m->host, opaque);
	fn(&m->nic, opaque);
}

void machine_query_vfio(struct machine *m, machine_vfio_fn fn, void *opaque)
{
	if (m->vfio)
		fn(m->vfio, opaque);
}

void machine_query_limits(struct machine *m, machine_limit_fn fn, void *opaque)
{
	(void)m;
	fn(&(struct machine_limit){ "memslots", 3, 509 }, opaque);
}

void machine_query_memdevs(struct machine *m, machine_memdev_fn fn, void *opaque)
{
	static const uint64_t nodes[] = { 5 };

	(void)m;
	fn(&(struct machine_memdev){ .id = "m0",
		   .policy = "bind",
		   .size = 1ull << 40,
		   .share = true,
		   .host_nodes = nodes,
		   .max_nodes = 64 },
		opaque);
}

struct loop_away machine_query_main_loop(struct machine *m, bool anew)
{
	machine_note(m, anew ? "main-loop-anew" : "main-loop");
	return (struct loop_away){ .steps = 7, .longest_ns = 2000999, .longest_cpu_ns = 1000999 };
}

void machine_query_mappings(struct machine *m, vfio_mapping_fn fn, void *opaque)
{
	static const struct vfio_mapping mappings[] = {
		{ .backend = "type1v2", .size = 1 << 20, .ram = true },
		{ .backend = "type1v2",
			.iova = 1ull << 45,
			.size = 4096,
			.device = "0000:1a:00.0" },
	};

	(void)m;
	for (unsigned i = 0; i < 2; i++)
		fn(&mappings[i], opaque);
}

const char *runstate_name(enum runstate state)
{
	return state == RUNSTATE_RUNNING ? "running" : "paused";
}

int machine_run(struct machine *m, struct err *err)
{
	if (m->state == RUNSTATE_RUNNING)
		return 0;
	if (m->state == RUNSTATE_SHUTDOWN || m->state == RUNSTATE_INTERNAL_ERROR)
		return err_set(err, EPERM, "Resetting the Virtual Machine is required");
	machine_note(m, "run");
	if (m->run_error)
		return err_set(err, m->run_error, "cannot run");
	m->state = RUNSTATE_RUNNING;
	return 0;
}

void machine_pause(struct machine *m, struct machine_op *op)
{
	if (m->state == RUNSTATE_RUNNING) {
		machine_note(m, "pause");
		if (m->on_pause)
			m->on_pause();
		m->state = RUNSTATE_PAUSED;
	}
	op->done(op, NULL);
}

void machine_reset(struct machine *m, enum shutdown_cause cause)
{
	machine_note(m, cause == SHUTDOWN_HOST_RESET ? "reset" : "reset?");
}

struct machine_actions machine_actions(const struct machine *m)
{
	return m->actions;
}

void machine_set_actions(struct machine *m, const struct machine_actions *actions)
{
	m->actions = *actions;
}

void machine_powerdown(struct machine *m)
{
	machine_note(m, "powerdown");
}

void machine_shutdown(struct machine *m, enum shutdown_cause cause)
{
	machine_note(m, cause == SHUTDOWN_HOST_QUIT ? "quit" : "quit?");
}

void machine_device_add(
	struct machine *m, const struct prop_type *type, void *options, struct machine_op *op)
{
	machine_note(m, "add");
	if (m->options)
		props_free(m->type, m->options, m->closer);
	m->type = type;
	m->options = options;
	m->device_fd = type == &vfio_pci_type ? prop_take_fd(&m->options->fd) : -1;
	m->op = op;
	if (m->answer_at_once)
		machine_answer(m, m->answer);
}

void machine_device_del(struct machine *m, const char *id, bool force, struct machine_op *op)
{
	machine_note(m, force ? "force-del" : "del");
	machine_note(m, id);
	m->op = op;
	if (m->answer_at_once)
		machine_answer(m, m->answer);
}

int machine_object_add(
	struct machine *m, const struct prop_type *type, void *options, struct err *err)
{
	struct vfio_iommufd_options *iommufd = options;

	machine_note(m, type->name);
	machine_note(m, iommufd->id);
	if (!m->answer)
		m->object_fd = prop_take_fd(&iommufd->fd);
	props_free(type, options, m->closer);
	return m->answer ? err_set(err, m->answer, "object 'x' says no") : 0;
}

int machine_object_del(struct machine *m, const char *id, struct err *err)
{
	machine_note(m, "object-del");
	machine_note(m, id);
	return m->answer ? err_set(err, m->answer, "object 'x' says no") : 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* machine_rig.c - see machine_rig.h. */
#include "machine_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/err.h>

#include "boot_fixture.h"

#define PORT_DEVFN PCI_DEVFN(1, 0)

static const char *const card_names[RIG_CARDS] = { "0000:01:00.0", "0000:02:00.0" };

static void on_event(void *opaque, const struct machine_event *event)
{
	struct machine_rig *rig = opaque;
	struct rig_event *e = &rig->event[rig->n_events++ % RIG_EVENTS];

	e->kind = event->kind;
	snprintf(e->device, sizeof(e->device), "%s", event->device ? event->device : "");
	snprintf(e->reason, sizeof(e->reason), "%s", event->reason ? event->reason : "");
	snprintf(e->action, sizeof(e->action), "%s", event->action ? event->action : "");
	snprintf(
		e->recipient, sizeof(e->recipient), "%s", event->recipient ? event->recipient : "");
	e->required = event->action_required;
	e->recursive = event->recursive;
}

/* Where the next machine is: src/machine says vfio_context_new() and gets this one's. */
static const struct vfio_host *next_host;

int __real_vfio_context_new(struct vfio_context **out, const struct vfio_env *env);
int __wrap_vfio_context_new(struct vfio_context **out, const struct vfio_env *env);
int __wrap_vfio_context_new(struct vfio_context **out, const struct vfio_env *env)
{
	struct vfio_env on_fake = *env;

	on_fake.host = next_host;
	return __real_vfio_context_new(out, &on_fake);
}

static void write_kernel(const struct machine_rig *rig)
{
	static struct fixture_kernel kernel;
	char path[128];
	FILE *file;

	fixture_pvh(&kernel);
	snprintf(path, sizeof(path), "%s/kernel", rig->host.root);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(kernel.bytes, 1, FIXTURE_SIZE, file), FIXTURE_SIZE);
	fclose(file);
}

void rig_host_init(struct machine_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	fake_kvm_clear();
	fake_vfio_host_init(&rig->host);
	next_host = &rig->host.host;
	for (unsigned i = 0; i < RIG_CARDS; i++) {
		fake_card_init(&rig->card[i]);
		fake_card_nvme(&rig->card[i]);
		fake_vfio_device(&rig->host, card_names[i], (int)i + 1, "vfio-pci");
		fake_vfio_set_io(&rig->host, card_names[i], &rig->card[i].io);
	}
	write_kernel(rig);
}

void rig_host_release(struct machine_rig *rig)
{
	for (unsigned i = 0; i < RIG_CARDS; i++)
		fake_card_release(&rig->card[i]);
	assert_string_equal(rig->host.violation, "");
	fake_vfio_host_release(&rig->host);
}

void rig_command_line(struct machine_rig *rig, const char *words)
{
	char line[1024];

	snprintf(line, sizeof(line), "-kernel %s/kernel %s %s", rig->host.root,
		strstr(words, "-m ") ? "" : "-m 128M", words);
	cmdline_parse(&rig->cmdline, line);
	if (rig->cmdline.ret)
		fail_msg("%s", rig->cmdline.err.text);
}

void rig_start(struct machine_rig *rig, const char *words)
{
	struct err err = { 0 };

	rig_host_init(rig);
	rig_command_line(rig, words);
	if (machine_new(&rig->m, &rig->cmdline.config, &err))
		fail_msg("%s", err.text);
	if (machine_realize(rig->m, &err))
		fail_msg("%s", err.text);
	rig->vcpu = rig->m->vcpus;
	rig->memslots_at_rest = fake_kvm.memslots;
	rig->irqfds_at_rest = fake_kvm.irqfds;
	assert_int_equal(machine_run(rig->m, NULL), 0);
	machine_on_event(rig->m, on_event, rig);
}

void rig_init(struct machine_rig *rig, bool native)
{
	rig_start(rig, native ? "-device pcie-root-port,id=rp1,addr=1,native-hotplug=on"
			      : "-device pcie-root-port,id=rp1,addr=1");
}

void rig_release(struct machine_rig *rig)
{
	rig_settle(rig);
	assert_null(rig->m->devices);
	machine_free(rig->m);
	cmdline_release(&rig->cmdline);
	rig_host_release(rig);
}

static void op_done(struct machine_op *op, const struct err *err)
{
	struct rig_op *rig_op = (struct rig_op *)op;

	assert_false(rig_op->done);
	rig_op->done = true;
	if (err)
		rig_op->err = *err;
}

static int setup(void **state, bool native)
{
	static struct machine_rig rig; /* too large for the stack */

	rig_init(&rig, native);
	*state = &rig;
	return 0;
}

int rig_setup_acpi(void **state)
{
	return setup(state, false);
}

int rig_setup_native(void **state)
{
	return setup(state, true);
}

int rig_teardown(void **state)
{
	rig_release(*state);
	return 0;
}

void rig_add_type(struct machine_rig *rig, struct rig_op *op, const struct prop_type *type,
	const char *options)
{
	struct err err = { 0 };
	void *object;

	assert_int_equal(props_new(type, &object), 0);
	if (props_parse(type, object, options, &err))
		fail_msg("%s", err.text);
	*op = (struct rig_op){ .op.done = op_done };
	machine_device_add(rig->m, type, object, &op->op);
}

struct rig_op *rig_add(struct machine_rig *rig, struct rig_op *op, const char *options)
{
	rig_add_type(rig, op, &vfio_pci_type, options);
	return op;
}

struct rig_op *rig_del(struct machine_rig *rig, struct rig_op *op, const char *id, bool force)
{
	*op = (struct rig_op){ .op.done = op_done };
	machine_device_del(rig->m, id, force, &op->op);
	return op;
}

void rig_step(struct machine_rig *rig)
{
	for (unsigned i = 0; i < rig->m->n_workers; i++)
		loop_step(&rig->m->workers[i].loop, 0);
	loop_step(&rig->m->loop, 0);
}

void rig_settle(struct machine_rig *rig)
{
	do
		rig_step(rig);
	while (device_jobs_running(rig->m));
	rig_step(rig);
}

void rig_deadline(struct machine_rig *rig, const char *id)
{
	struct device *device = device_find(rig->m, id);

	assert_non_null(device);
	assert_true(device->deadline.armed);
	loop_timer_cancel(&rig->m->loop, &device->deadline);
	device->deadline.fn(device->deadline.opaque);
}

/* What a vCPU does with an access that is finished elsewhere. */
static uint32_t finish(struct machine_rig *rig, enum io_status status, struct io_access *access)
{
	if (status == IO_DONE)
		return (uint32_t)access->data;
	atomic_store(&rig->request.done, 0);
	loop_post(rig->request.owner, &rig->request.mail);
	while (!atomic_load(&rig->request.done))
		rig_step(rig);
	return (uint32_t)rig->request.data;
}

uint32_t rig_slot_read(struct machine_rig *rig, unsigned offset, unsigned size)
{
	struct io_access access = {
		.offset = offset, .size = (uint8_t)size, .request = &rig->request
	};

	return finish(rig, acpi_slots_access(&rig->m->acpi_slots, &access), &access);
}

void rig_slot_write(struct machine_rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	struct io_access access = { .offset = offset,
		.size = (uint8_t)size,
		.data = value,
		.write = true,
		.request = &rig->request };

	finish(rig, acpi_slots_access(&rig->m->acpi_slots, &access), &access);
}

#define SLOT_AT(reg) (0x800 + 8 * PORT_DEVFN + (reg))

void rig_guest_ejects(struct machine_rig *rig)
{
	uint32_t asked = rig_slot_read(rig, SLOT_AT(1), 1);

	rig_slot_write(rig, SLOT_AT(1), 1, asked);
	rig_slot_write(rig, SLOT_AT(3), 1, asked);
}

uint32_t rig_config_read(struct machine_rig *rig, unsigned offset, unsigned size)
{
	struct io_access access = { .offset = (uint64_t)PORT_DEVFN << 12 | offset,
		.size = (uint8_t)size,
		.request = &rig->request };

	return finish(rig, pci_host_ecam(&rig->m->host, &access), &access);
}

void rig_config_write(struct machine_rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	struct io_access access = { .offset = (uint64_t)PORT_DEVFN << 12 | offset,
		.size = (uint8_t)size,
		.data = value,
		.write = true,
		.request = &rig->request };

	finish(rig, pci_host_ecam(&rig->m->host, &access), &access);
}

bool rig_clean(const struct machine_rig *rig)
{
	return !rig->m->devices && fake_kvm.memslots == rig->memslots_at_rest && !fake_kvm.gsis &&
	       fake_kvm.irqfds == rig->irqfds_at_rest && !fake_kvm.vfio_fds &&
	       fake_vfio_idle(&rig->host);
}

bool rig_plugged(struct machine_rig *rig, const char *id)
{
	struct device *device = device_find(rig->m, id);

	return device && device->life.stage == DEVICE_PLUGGED;
}

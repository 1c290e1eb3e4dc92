/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c - the machine object: made of its parts, and taken apart in the opposite order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/board.h>
#include <portcullis/log.h>
#include <portcullis/memory_backend.h>
#include <portcullis/policy.h>

#include "plug.h"

/* Functions that may be hot-plugged at the same time in addition to one per root port. */
#define SPARE_WORKERS 7

/*
 * Devices' messages, and the IOAPIC that KVM emulates, have 8 bits for a processor. More in a
 * message (KVM_FEATURE_MSI_EXT_DEST_ID) would make guests put more into the IOAPIC, too, which KVM
 * would not see, so they are not told of it. Linux leaves processors alone that no interrupt reaches.
 */
#define INTERRUPTED_ID_MAX 255
static void warn_of_unreachable(const struct kvm_topology *topology)
{
	unsigned reached = topology->cpus;

	while (kvm_apic_id(topology, reached - 1) > INTERRUPTED_ID_MAX)
		reached--;
	if (reached < topology->cpus)
		log_warn(
			"-smp %u: devices' interrupts reach %u of the vCPUs (APIC ids up to %d), and Linux guests use no others",
			topology->cpus, reached, INTERRUPTED_ID_MAX);
}

static int vcpus_init(struct machine *m, struct err *err) ON_MAIN
{
	const struct config *config = m->config;
	int ret;

	m->topology = (struct kvm_topology){ .cpus = config->cpus,
		.sockets = config->sockets,
		.cores = config->cores,
		.threads = config->threads };
	ret = kvm_vm_prepare_vcpus(&m->vm, &m->topology, err);
	if (ret)
		return ret;
	warn_of_unreachable(&m->topology);
	m->vcpus = calloc(config->cpus, sizeof(*m->vcpus));
	if (!m->vcpus)
		return err_set(err, ENOMEM, "no memory for %u vCPUs", config->cpus);
	for (unsigned i = 0; i < config->cpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		v->bus = &m->bus;
		v->gate = &m->gate;
		v->machine = m;
		v->stopped.run = guest_vcpu_reported;
		atomic_store(&v->request.done, 1);
		ret = kvm_vcpu_init(&v->kvm, &m->vm, i, &m->topology, err);
		if (ret)
			return ret;
		m->n_vcpus = i + 1;
		if (bus_add_reader(&m->bus, &v->reader))
			return err_set(err, ENOMEM, "no memory for the address map");
	}
	return 0;
}

/* -overcommit cpu-pm=on. As with QEMU, a guest whose host cannot runs all the same. */
static void idle_in_guest(struct machine *m) ON_MAIN
{
	int ret = kvm_vm_idle_in_guest(&m->vm);

	if (ret)
		log_warn(
			"cpu-pm=on: this host's KVM does not let a guest's processors idle by themselves: %s",
			strerror(-ret));
}

static int workers_init(struct machine *m, struct err *err)
{
	unsigned devices = 0, ports = 0;

	for (unsigned i = 0; i < m->config->n_devices; i++) {
		if (m->config->devices[i].type == &root_port_type)
			ports++;
		else if (device_class_find(m->config->devices[i].type))
			devices++;
	}
	devices += ports ? ports + SPARE_WORKERS : 0;
	m->workers = calloc(devices ? devices : 1, sizeof(*m->workers));
	if (!m->workers)
		return err_set(err, ENOMEM, "no memory for %u workers", devices);
	for (unsigned i = 0; i < devices; i++) {
		int ret = loop_init(&m->workers[i].loop);

		if (ret)
			return err_set_errno(err, -ret, "cannot create worker %u", i);
		m->workers[i].index = i;
		m->n_workers = i + 1;
	}
	return 0;
}

/* Ctrl-A X on the terminal. */
static void on_quit(void *opaque)
{
	role_enter_main();
	machine_shutdown(opaque, SHUTDOWN_HOST_QUIT);
}

static int console_init(struct machine *m, struct err *err)
{
	const struct config_serial *serial = &m->config->serial;
	struct chardev_options options = {
		.path = serial->path, .fd = serial->fd, .wait = serial->wait, .closer = &m->closer
	};

	switch (serial->kind) {
	case SERIAL_NONE:
		return 0;
	case SERIAL_STDIO:
		options.kind = CHARDEV_STDIO;
		break;
	case SERIAL_FILE:
		options.kind = CHARDEV_FILE;
		break;
	case SERIAL_UNIX:
	case SERIAL_FD:
		options.kind = serial->server ? CHARDEV_UNIX_SERVER : CHARDEV_UNIX_CLIENT;
		break;
	}
	return chardev_new(&m->console, &options, &m->serial, &m->loop, on_quit, m, err);
}

/* Those of -object. */
static int objects_init(struct machine *m, struct err *err) ON_MAIN
{
	struct config *config = m->config;
	int ret = 0;

	for (unsigned i = 0; !ret && i < config->n_objects; i++) {
		void *options = config->objects[i].options;

		if (memory_backend_type(config->objects[i].type))
			continue; /* guest_memory.c's */
		config->objects[i].options = NULL;
		ret = machine_object_add(m, config->objects[i].type, options, err);
	}
	return ret;
}

static const struct device_notices notices = { .wanted = plug_host_request,
	.failed = device_failed };

/* In this order; machine_free() copes with any prefix of it. */
static int (*const parts[])(struct machine *m, struct err *err) = {
	passthrough_init,
	vcpus_init,
	workers_init,
	populators_init,
	memory_failures_init,
	platform_init,
	console_init,
	topology_init,
	debug_exits_init,
	objects_init,
};

int machine_new(struct machine **out, struct config *config, struct err *err)
{
	struct machine *m = calloc(1, sizeof(*m));
	int ret;

	if (!m)
		return err_set(err, ENOMEM, "no memory for the machine");
	m->config = config;
	m->board = &q35_board;
	m->vm.kvm_fd = m->vm.vm_fd = m->vm.vfio_fd = -1;
	m->loop.epoll_fd = m->loop.wake_fd = m->memory.wake_fd = -1;
	m->closer.loop.epoll_fd = m->closer.loop.wake_fd = -1;
	m->runstate = RUNSTATE_PRELAUNCH;
	for (unsigned i = 0; i < KVM_GSI_PINS; i++)
		m->irq_fd[i] = -1;
	/* Files first: a wrong kernel path is told without touching KVM. */
	ret = boot_read(
		&m->boot, config->kernel, config->initrd, config->append, config->ram_size, err);
	if (ret)
		goto fail;
	irq_sink_init(m);
	m->notices = &notices;
	sink_init(m);
	panic_init(m);
	ret = loop_init(&m->loop);
	m->loop.away.on = true;
	if (!ret)
		ret = closer_init(&m->closer);
	if (!ret)
		ret = bus_init(&m->bus);
	if (ret) {
		err_set_errno(err, -ret, "cannot create the machine");
		goto fail;
	}
	ret = kvm_vm_init(&m->vm, err);
	if (!ret && config->cpu_pm)
		idle_in_guest(m);
	for (unsigned i = 0; !ret && i < sizeof(parts) / sizeof(parts[0]); i++)
		ret = parts[i](m, err);
	if (ret)
		goto fail;
	plug_init(m);
	*out = m;
	return 0;
fail:
	machine_free(m);
	return ret;
}

void machine_free(struct machine *m)
{
	if (!m || m->abandoned)
		return;
	while (m->devices)
		device_free(m->devices);
	passthrough_release(m);
	hotplug_release(m);
	topology_release(m);
	platform_release(m);
	for (unsigned i = 0; i < m->n_vcpus; i++)
		kvm_vcpu_release(&m->vcpus[i].kvm);
	free(m->vcpus);
	kvm_vm_release(&m->vm);
	for (unsigned i = 0; i < m->n_workers; i++)
		loop_release(&m->workers[i].loop);
	free(m->workers);
	free(m->populators);
	closer_release(&m->closer);
	if (m->ram_ready)
		ram_release(&m->ram);
	boot_release(&m->boot);
	bus_release(&m->bus);
	memory_failures_release(m);
	loop_release(&m->loop);
	free(m);
}

struct loop *machine_loop(struct machine *m)
{
	return &m->loop;
}

unsigned machine_vcpus(struct machine *m, struct vcpu **out)
{
	*out = m->vcpus;
	return m->n_vcpus;
}

unsigned machine_workers(struct machine *m, struct worker **out)
{
	*out = m->workers;
	return m->n_workers;
}

unsigned machine_populators(struct machine *m, struct populator **out)
{
	*out = m->populators;
	return m->n_populators;
}

struct closer *machine_closer(struct machine *m)
{
	return &m->closer;
}

void machine_policy_fds(struct machine *m, int fds[])
{
	fds[POLICY_FD_OWN] = -1;
	fds[POLICY_FD_VM] = m->vm.vm_fd;
	fds[POLICY_FD_KVM_DEVICE] = m->vm.vfio_fd;
	fds[POLICY_FD_LOG] = log_fd();
}

const struct config *machine_config(const struct machine *m)
{
	return m->config;
}

int machine_exit_status(const struct machine *m)
{
	return m->exit_status;
}

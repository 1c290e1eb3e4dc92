/* SPDX-License-Identifier: Apache-2.0 */
/* platform.c - the emulated devices of the standard machine and their addresses. */
#include <errno.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "plug.h"

/* Everything that is not a BAR: where it lies and who answers. */
struct place {
	enum bus_space space;
	uint64_t base, size;
	io_fn fn;
	size_t opaque; /* offset into struct machine */
	const char *name;
};

#define AT(member) offsetof(struct machine, member)
static const struct place places[] = {
	{ BUS_PIO, 0x60, 5, power_keyboard_access, AT(power), "keyboard-reset" },
	{ BUS_PIO, RTC_PORT, 2, rtc_access, AT(rtc), "rtc" },
	{ BUS_PIO, SERIAL_PORT, 8, serial_access, AT(serial), "serial" },
	{ BUS_PIO, POWER_SLEEP_CONTROL, 2, power_sleep_access, AT(power), "sleep" },
	{ BUS_PIO, 0xcf8, 4, pci_host_cf8, AT(host), "pci-cf8" },
	{ BUS_PIO, 0xcfc, 4, pci_host_cfc, AT(host), "pci-cfc" },
	{ BUS_MMIO, GPA_ECAM, GPA_ECAM_SIZE, pci_host_ecam, AT(host), "pci-ecam" },
	{ BUS_MMIO, GED_BASE, GED_SIZE, ged_access, AT(ged), "ged" },
	{ BUS_MMIO, ACPI_SLOTS_BASE, ACPI_SLOTS_SIZE, acpi_slots_access, AT(acpi_slots),
		"acpi-slots" },
};

/* The GSIs that an emulated device pulses. */
static const unsigned pulses[] = { SERIAL_GSI, RTC_GSI, GED_GSI };

static int irqs_init(struct machine *m, struct err *err)
{
	for (unsigned i = 0; i < sizeof(pulses) / sizeof(pulses[0]); i++) {
		unsigned gsi = pulses[i];
		int ret;

		m->irq_fd[gsi] = sys_eventfd();
		ret = m->irq_fd[gsi];
		if (ret >= 0)
			ret = kvm_irqfd_add(&m->vm, gsi, m->irq_fd[gsi], -1);
		if (ret < 0)
			return err_set_errno(err, -ret, "cannot wire interrupt %u", gsi);
	}
	return 0;
}

static void on_power(void *opaque, enum power_event event)
{
	struct machine *m = opaque;

	role_enter_main();
	if (m->resetting)
		return;
	if (event == POWER_OFF)
		machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	else
		machine_reset(m, SHUTDOWN_GUEST_RESET);
}

int platform_init(struct machine *m, struct err *err)
{
	int ret = irqs_init(m, err);

	if (ret)
		return ret;
	ret = serial_init(&m->serial, m->irq_fd[SERIAL_GSI], &m->loop);
	if (!ret)
		ret = rtc_init(&m->rtc, m->irq_fd[RTC_GSI], &m->loop);
	if (ret)
		return err_set_errno(err, -ret, "cannot create the platform devices");
	power_init(&m->power, &m->loop, on_power, m);
	ged_init(&m->ged, m->irq_fd[GED_GSI]);
	m->host.cf9 = power_reset_access;
	m->host.cf9_opaque = &m->power;
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const struct place *p = &places[i];
		struct bus_region region = { .base = p->base,
			.size = p->size,
			.fn = p->fn,
			.opaque = (char *)m + p->opaque,
			.name = p->name };

		ret = bus_add(&m->bus, p->space, &region);
		if (ret)
			return err_set_errno(err, -ret, "cannot place %s", p->name);
	}
	bus_publish(&m->bus);
	return 0;
}

void platform_release(struct machine *m)
{
	chardev_free(m->console);
	serial_release(&m->serial);
	rtc_release(&m->rtc);
	for (unsigned i = 0; i < KVM_GSI_PINS; i++)
		sys_closep(&m->irq_fd[i]);
}

void platform_reset(struct machine *m)
{
	hotplug_reset(m);
	power_reset(&m->power);
	serial_reset(&m->serial);
	rtc_reset(&m->rtc);
	ged_reset(&m->ged);
	atomic_store(&m->host.address, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_root_port.c - pcie-root-port: config space as Linux probes it, slot control by config
 * writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/pci_host.h>
#include <portcullis/root_port.h>

#include "../../src/pci/function.h"
#include "../../src/pci/slot.h"
#include "pci_fake.h"

struct fixture {
	struct fake_sink fake;
	struct pci_bus root;
	struct root_port port;
	struct pci_function card;
	unsigned powered_off, powered_on, bus_resets;
	bool bus_reset_later;
};

static void on_power(void *opaque, struct root_port *port, bool off)
{
	struct fixture *f = opaque;

	assert_ptr_equal(port, &f->port);
	f->powered_off += off;
	f->powered_on += !off;
}

static bool on_bus_reset(void *opaque, struct root_port *port, struct io_request *request)
{
	struct fixture *f = opaque;

	assert_ptr_equal(port, &f->port);
	f->bus_resets++;
	if (!f->bus_reset_later)
		return false;
	io_complete(request);
	return true;
}

static const struct root_port_ops ops = { .on_power = on_power, .on_bus_reset = on_bus_reset };

static struct fixture *fixture_new(const char *text)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *options;
	struct err err = { 0 };

	fake_sink_init(&f->fake);
	pci_bus_init(&f->root, "pcie.0", NULL, &f->fake.sink);
	assert_int_equal(props_new(&root_port_type, &options), 0);
	assert_int_equal(props_parse(&root_port_type, options, text, &err), 0);
	assert_int_equal(root_port_init(&f->port, options, &f->fake.sink), 0);
	f->port.ops = &ops;
	f->port.opaque = f;
	assert_int_equal(pci_plug(&f->root, &f->port.function, PCI_DEVFN(2, 0), false, &err), 0);
	pci_function_init(&f->card, "card", NULL, NULL);
	return f;
}

static int setup_native(void **state)
{
	*state = fixture_new("id=rp1,addr=2,port=7,native-hotplug=on");
	return 0;
}

static int setup_acpi(void **state)
{
	*state = fixture_new("id=rp1,addr=2.1,mem-reserve=4M,slot=9");
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	root_port_release(&f->port);
	pci_function_release(&f->card);
	fake_sink_release(&f->fake);
	free(f);
	return 0;
}

static uint32_t rd(struct fixture *f, unsigned offset, unsigned size)
{
	return fake_read(&f->port.function, offset, size);
}

static bool wr(struct fixture *f, unsigned offset, unsigned size, uint32_t value)
{
	return fake_write(&f->fake, &f->port.function, offset, size, value);
}

static unsigned exp_at(struct fixture *f, unsigned offset)
{
	return fake_find_cap(&f->port.function, PCI_CAP_ID_EXP) + offset;
}

static uint32_t slot_status(struct fixture *f)
{
	return rd(f, exp_at(f, PCI_EXP_SLTSTA), 2);
}

/* Linux's pciehp: enables its interrupts, with MSI at a known address. */
static void enable(struct fixture *f)
{
	unsigned msi = fake_find_cap(&f->port.function, PCI_CAP_ID_MSI);

	(void)wr(f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	(void)wr(f, msi + PCI_MSI_ADDRESS_LO, 4, 0xfee01000);
	(void)wr(f, msi + PCI_MSI_ADDRESS_HI, 4, 1);
	(void)wr(f, msi + PCI_MSI_DATA_64, 2, 0x4055);
	(void)wr(f, msi + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	assert_true(wr(f, exp_at(f, PCI_EXP_SLTCTL), 2,
		PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_CCIE | PCI_EXP_SLTCTL_HPIE |
			PCI_EXP_SLTCTL_DLLSCE |
			(rd(f, exp_at(f, PCI_EXP_SLTCTL), 2) &
				(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PIC))));
	(void)wr(f, exp_at(f, PCI_EXP_SLTSTA), 2, 0xffff);
	fake_sink_clear(&f->fake);
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, PCI_VENDOR_ID, 4), 0x000c1b36);
	assert_int_equal(rd(f, PCI_CLASS_REVISION, 4), 0x06040000);
	assert_int_equal(rd(f, PCI_HEADER_TYPE, 1), 1);
	assert_int_equal(rd(f, PCI_INTERRUPT_PIN, 1), 0);
	/* PCIe 2, root port, slot implemented */
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_FLAGS), 2), 0x0142);
	/* 32 lanes of 32 GT/s, port 7; 8-bit tags; LTR; nothing is completed of an empty slot. */
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCAP), 4), 0x07100205);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCAP2), 4), 0x3e);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCTL2), 2), 5);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_DEVCAP), 4), 0x8020);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_DEVCTL), 2), 0x2910);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_DEVCAP2), 4), PCI_EXP_DEVCAP2_LTR);
	assert_int_not_equal(fake_find_cap(&f->port.function, PCI_CAP_ID_MSI), 0);
	assert_int_not_equal(fake_find_cap(&f->port.function, PCI_CAP_ID_SSVID), 0);
	/* No BARs: probing finds none. */
	(void)wr(f, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(rd(f, PCI_BASE_ADDRESS_0, 4), 0);
	(void)wr(f, PCI_ROM_ADDRESS1, 4, 0xffffffff);
	assert_int_equal(rd(f, PCI_ROM_ADDRESS1, 4), 0);
}

/* Linux's pci_configure_ltr(), and whoever writes what is there for one card only. */
static void test_device_control_2(void **state)
{
	struct fixture *f = *state;
	const unsigned at = exp_at(f, PCI_EXP_DEVCTL2);

	(void)wr(f, at, 2, 0xffff);
	assert_int_equal(rd(f, at, 2), PCI_EXP_DEVCTL2_LTR_EN);
	pci_function_reset(&f->port.function);
	assert_int_equal(rd(f, at, 2), 0);
}

static void test_offer(void **state)
{
	struct fixture *f = *state;
	const unsigned at = exp_at(f, PCI_EXP_DEVCAP2);

	root_port_offer(&f->port, UINT32_MAX);
	assert_int_equal(rd(f, at, 4), 0x10b80);
	/* The guest resets the machine: the same cards are in the slot. */
	pci_function_reset(&f->port.function);
	assert_int_equal(rd(f, at, 4), 0x10b80);
	(void)wr(f, at, 4, 0);
	assert_int_equal(rd(f, at, 4), 0x10b80);
	root_port_offer(&f->port, PCI_EXP_DEVCAP2_ATOMIC_COMP64);
	assert_int_equal(rd(f, at, 4), 0x900);
	root_port_offer(&f->port, 0);
	assert_int_equal(rd(f, at, 4), 0x800);
	pci_function_reset(&f->port.function);
	assert_int_equal(rd(f, at, 4), 0x800);
}

static uint32_t link_with_card(struct fixture *f, unsigned exp, uint32_t status)
{
	if (exp)
		pci_put(f->card.config, exp + PCI_EXP_LNKSTA, 2, status);
	return rd(f, exp_at(f, PCI_EXP_LNKSTA), 2);
}

/* Both ends of a link say the same; a port that is slower than its card says what it can. */
static void test_link_status_is_the_cards(void **state)
{
	struct fixture *f = *state; /* ACPI: the slot has power */
	const unsigned at2 = exp_at(f, PCI_EXP_LNKSTA2);
	unsigned exp;

	assert_int_equal(link_with_card(f, 0, 0), 1);
	assert_int_equal(rd(f, at2, 2), 0);
	assert_int_equal(pci_plug(&f->port.bus, &f->card, 0, false, NULL), 0);
	/* Not shown yet, so there is no link. */
	assert_int_equal(link_with_card(f, 0, 0), 1);
	root_port_set_presence(&f->port, true);
	/* A conventional card, then one that is PCI Express. */
	assert_int_equal(link_with_card(f, 0, 0), 0x2205);
	exp = pci_add_cap(&f->card, PCI_CAP_ID_EXP, 0, 0x3c);
	assert_int_equal(link_with_card(f, exp, 0x1103), 0x2103);
	assert_int_equal(rd(f, at2, 2), 0x1e);
	/* It saves power, and comes back. */
	assert_int_equal(link_with_card(f, exp, 0x1041), 0x2041);
	assert_int_equal(rd(f, at2, 2), 0);
	assert_int_equal(link_with_card(f, exp, 0x1105), 0x2105);
	/* As pciehp reads it, and as whoever reads it with Link Control. */
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCTL), 4) >> 16, 0x2105);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKSTA) + 1, 1), 0x21);
	/* A virtual function's reads 0, that of a card which is gone ones; a faster card. */
	assert_int_equal(link_with_card(f, exp, 0), 0x2205);
	assert_int_equal(link_with_card(f, exp, 0xffff), 0x2205);
	assert_int_equal(link_with_card(f, exp, 0x0086), 0x2085);
	/* It cannot be written, nor wakes the card's own registers. */
	(void)wr(f, exp_at(f, PCI_EXP_LNKSTA), 2, 0);
	assert_int_equal(link_with_card(f, exp, 0x1103), 0x2103);
	pci_unplug(&f->card);
	root_port_set_presence(&f->port, false);
	assert_int_equal(link_with_card(f, 0, 0), 1);
}

/* Capability lists of cards may lead in circles. */
static void test_find_cap(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_find_cap(&f->port.function, PCI_CAP_ID_EXP), f->port.exp);
	assert_int_equal(pci_find_cap(&f->port.function, PCI_CAP_ID_MSI), f->port.msi);
	assert_int_equal(pci_find_cap(&f->port.function, PCI_CAP_ID_VPD), 0);
	assert_int_equal(pci_find_cap(&f->card, PCI_CAP_ID_EXP), 0);
	pci_put(f->card.config, PCI_CAPABILITY_LIST, 1, 0xff);
	pci_put(f->card.config, 0xff, 2, 0xff00);
	assert_int_equal(pci_find_cap(&f->card, PCI_CAP_ID_EXP), 0);
}

static void test_speed_and_width(void **state)
{
	static const struct {
		const char *options;
		uint32_t lnkcap, lnkcap2;
	} cases[] = {
		{ "id=rp1,addr=2,x-speed=2_5,x-width=1", 0x00100011, 0x02 },
		{ "id=rp1,addr=2,x-speed=5,x-width=2", 0x00100022, 0x06 },
		{ "id=rp1,addr=2,x-speed=8,x-width=4", 0x00100043, 0x0e },
		{ "id=rp1,addr=2,x-speed=16,x-width=8", 0x00100084, 0x1e },
		{ "id=rp1,addr=2,x-speed=32,x-width=12", 0x001000c5, 0x3e },
		{ "id=rp1,addr=2,x-speed=64,x-width=16", 0x00100106, 0x7e },
		{ "id=rp1,addr=2,x-width=32", 0x00100205, 0x3e },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = fixture_new(cases[i].options);
		uint32_t lnkcap = cases[i].lnkcap;
		void *end = f;

		assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCAP), 4), lnkcap);
		assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCAP2), 4), cases[i].lnkcap2);
		assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKCTL2), 2), lnkcap & 0xf);
		assert_int_equal(pci_plug(&f->port.bus, &f->card, 0, false, NULL), 0);
		root_port_set_presence(&f->port, true);
		assert_int_equal(link_with_card(f, 0, 0), 0x2000 | (lnkcap & 0x3ff));
		assert_int_equal(
			rd(f, exp_at(f, PCI_EXP_LNKSTA2), 2), (lnkcap & 0xf) >= 3 ? 0x1e : 0);
		pci_unplug(&f->card);
		teardown(&end);
	}
}

static void test_slot_numbers(void **state)
{
	struct fixture *f = *state; /* native: addr=2 */

	assert_int_equal(rd(f, exp_at(f, PCI_EXP_SLTCAP), 4) >> 19, 2);
	root_port_set_number(&f->port, 0x1234);
	pci_function_reset(&f->port.function);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_SLTCAP), 4) >> 19, 0x1234);
	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < a; b++)
			assert_int_not_equal(
				root_port_number_of((uint8_t)a), root_port_number_of((uint8_t)b));
	assert_int_equal(root_port_number_of(PCI_DEVFN(5, 0)), 5);
}

static void test_hot_plug_bits_only_when_native(void **state)
{
	struct fixture *f = *state; /* ACPI */
	unsigned sltctl = exp_at(f, PCI_EXP_SLTCTL);

	assert_int_equal(rd(f, exp_at(f, PCI_EXP_SLTCAP), 4), 9u << 19);
	assert_int_equal(f->port.function.reserve_mem32, 4 << 20);
	assert_true(f->port.function.reserve_io == PCI_RESERVE_AUTO);
	assert_false(wr(f, sltctl, 2, 0xffff));
	assert_int_equal(rd(f, sltctl, 2), 0);
	root_port_set_presence(&f->port, true);
	assert_int_equal(slot_status(f) & PCI_EXP_SLTSTA_PDS, PCI_EXP_SLTSTA_PDS);
	assert_true(rd(f, exp_at(f, PCI_EXP_LNKSTA), 2) & PCI_EXP_LNKSTA_DLLLA);
	assert_true(root_port_powered(&f->port));
	assert_int_equal(fake_sink_count(&f->fake, 'i'), 0);
}

static void test_bridge_registers(void **state)
{
	struct fixture *f = *state;
	uint64_t base, last;

	(void)wr(f, PCI_PRIMARY_BUS, 4, 0xffffffff);
	assert_int_equal(rd(f, PCI_PRIMARY_BUS, 4), 0x00ffffff);
	/* Linux finds out what windows there are. */
	(void)wr(f, PCI_PREF_MEMORY_BASE, 4, 0xffe0fff0);
	assert_int_equal(rd(f, PCI_PREF_MEMORY_BASE, 4), 0xffe1fff1);
	(void)wr(f, PCI_PREF_BASE_UPPER32, 4, 0xffffffff);
	assert_int_equal(rd(f, PCI_PREF_BASE_UPPER32, 4), 0xffffffff);
	(void)wr(f, PCI_MEMORY_BASE, 4, 0xd01fd00f);
	assert_true(fake_bridge_window(&f->port.function, PCI_WINDOW_MEM32, &base, &last));
	assert_int_equal(base, 0xd0000000);
	assert_int_equal(last, 0xd01fffff);
	/* No I/O window until there is room for one; then its registers work. */
	(void)wr(f, PCI_IO_BASE, 2, 0xe0f0);
	assert_int_equal(rd(f, PCI_IO_BASE, 2), 0);
	assert_false(fake_bridge_window(&f->port.function, PCI_WINDOW_IO, &base, &last));
	pci_bridge_set_window(&f->port.function, PCI_WINDOW_IO, 0x3000, 0x2000);
	assert_int_equal(rd(f, PCI_IO_BASE, 2), 0x4030);
	assert_true(fake_bridge_window(&f->port.function, PCI_WINDOW_IO, &base, &last));
	assert_int_equal(base, 0x3000);
	assert_int_equal(last, 0x4fff);
	(void)wr(f, PCI_IO_BASE, 2, 0xe0f0);
	assert_int_equal(rd(f, PCI_IO_BASE, 2), 0xe0f0);
	/* Above 4 GiB and closed again. */
	pci_bridge_set_window(&f->port.function, PCI_WINDOW_PREF64, 0x4000000000, 0x4000000000);
	assert_true(fake_bridge_window(&f->port.function, PCI_WINDOW_PREF64, &base, &last));
	assert_true(base == 0x4000000000 && last == 0x7fffffffff);
	pci_bridge_set_window(&f->port.function, PCI_WINDOW_PREF64, 0, 0);
	assert_false(fake_bridge_window(&f->port.function, PCI_WINDOW_PREF64, &base, &last));
	pci_bridge_set_window(&f->port.function, PCI_WINDOW_MEM32, 0, 0);
	assert_false(fake_bridge_window(&f->port.function, PCI_WINDOW_MEM32, &base, &last));
}

static void test_native_plug(void **state)
{
	struct fixture *f = *state;
	unsigned sltctl = exp_at(f, PCI_EXP_SLTCTL);

	enable(f);
	root_port_set_presence(&f->port, true);
	assert_int_equal(fake_sink_count(&f->fake, 'i'), 1);
	assert_true(f->fake.log[0].addr == 0x1fee01000);
	assert_int_equal(f->fake.log[0].data, 0x4055);
	assert_int_equal(
		slot_status(f), PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_ABP);
	assert_false(root_port_powered(&f->port));
	/* Clearing status does not concern main; a dword over both registers does. */
	assert_false(wr(f, exp_at(f, PCI_EXP_SLTSTA), 2, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_ABP));
	assert_int_equal(slot_status(f), PCI_EXP_SLTSTA_PDS);
	assert_true(
		wr(f, sltctl, 4, (rd(f, sltctl, 2) & ~(uint32_t)PCI_EXP_SLTCTL_PCC) | 0xffff0000));
	assert_int_equal(f->powered_on, 1);
	assert_true(root_port_powered(&f->port));
	assert_int_equal(
		slot_status(f), PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC);
	assert_int_equal(rd(f, exp_at(f, PCI_EXP_LNKSTA), 2), PCI_EXP_LNKSTA_DLLLA | 32 << 4 | 5);
	assert_int_equal(fake_sink_count(&f->fake, 'i'), 2);
}

static void test_native_unplug(void **state)
{
	struct fixture *f = *state;
	unsigned sltctl = exp_at(f, PCI_EXP_SLTCTL);
	uint32_t control;

	assert_int_equal(pci_plug(&f->port.bus, &f->card, 0, false, NULL), 0);
	pci_function_reset(&f->port.function);
	assert_true(root_port_powered(&f->port));
	enable(f);
	root_port_press_attention(&f->port);
	assert_int_equal(fake_sink_count(&f->fake, 'i'), 1);
	assert_true(slot_status(f) & PCI_EXP_SLTSTA_ABP);
	(void)wr(f, exp_at(f, PCI_EXP_SLTSTA), 2, 0xffff);
	control = rd(f, sltctl, 2) & ~(uint32_t)PCI_EXP_SLTCTL_PIC;
	assert_false(root_port_blinking(&f->port));
	(void)wr(f, sltctl, 2, control | PCI_EXP_SLTCTL_PWR_IND_BLINK);
	assert_true(root_port_blinking(&f->port));
	(void)wr(f, sltctl, 2, control | PCI_EXP_SLTCTL_PWR_IND_BLINK | PCI_EXP_SLTCTL_PCC);
	assert_int_equal(f->powered_off, 1);
	assert_true(f->port.settle.armed);
	assert_false(rd(f, exp_at(f, PCI_EXP_LNKSTA), 2) & PCI_EXP_LNKSTA_DLLLA);
	pci_unplug(&f->card);
	root_port_set_presence(&f->port, false);
	assert_false(slot_status(f) & PCI_EXP_SLTSTA_PDS);
	/* A new card: shown when the guest is done with the old one. */
	root_port_set_presence(&f->port, true);
	assert_false(slot_status(f) & PCI_EXP_SLTSTA_PDS);
	(void)wr(f, sltctl, 2, control | PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC);
	assert_true(slot_status(f) & PCI_EXP_SLTSTA_PDS);
	assert_int_equal(f->powered_off, 1);
}

/* The guest's handler may unplug from inside the callback: the port is not locked then. */
static void power_off_unplugs(void *opaque, struct root_port *port, bool off)
{
	struct fixture *f = opaque;

	if (!off)
		return;
	f->powered_off++;
	pci_unplug(&f->card);
	root_port_set_presence(port, false);
}

static void test_unplug_from_inside_the_callback(void **state)
{
	struct fixture *f = *state;
	const struct root_port_ops nested = { .on_power = power_off_unplugs };

	f->port.ops = &nested;
	assert_int_equal(pci_plug(&f->port.bus, &f->card, 0, false, NULL), 0);
	pci_function_reset(&f->port.function);
	enable(f);
	(void)wr(f, exp_at(f, PCI_EXP_SLTCTL), 2, PCI_EXP_SLTCTL_PCC);
	assert_int_equal(f->powered_off, 1);
	assert_false(slot_status(f) & PCI_EXP_SLTSTA_PDS);
}

static void test_held_card_is_shown_by_the_timer(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pci_plug(&f->port.bus, &f->card, 0, false, NULL), 0);
	pci_function_reset(&f->port.function);
	(void)wr(f, exp_at(f, PCI_EXP_SLTCTL), 2, PCI_EXP_SLTCTL_PCC);
	root_port_set_presence(&f->port, false);
	root_port_set_presence(&f->port, true);
	assert_false(slot_status(f) & PCI_EXP_SLTSTA_PDS);
	f->port.settle.fn(f->port.settle.opaque);
	assert_true(slot_status(f) & PCI_EXP_SLTSTA_PDS);
}

static void test_no_interrupt_without_msi_or_mastering(void **state)
{
	struct fixture *f = *state;

	enable(f);
	(void)wr(f, PCI_COMMAND, 2, 0);
	root_port_set_presence(&f->port, true);
	assert_int_equal(fake_sink_count(&f->fake, 'i'), 0);
}

static void test_reset_shows_what_is_plugged(void **state)
{
	struct fixture *f = *state;

	enable(f);
	assert_int_equal(pci_plug(&f->port.bus, &f->card, 0, false, NULL), 0);
	pci_function_reset(&f->port.function);
	assert_int_equal(slot_status(f), PCI_EXP_SLTSTA_PDS);
	assert_true(root_port_powered(&f->port));
	/* Told again by the machine: no news. */
	root_port_set_presence(&f->port, true);
	assert_int_equal(slot_status(f), PCI_EXP_SLTSTA_PDS);
	pci_unplug(&f->card);
	pci_function_reset(&f->port.function);
	assert_int_equal(slot_status(f), 0);
	assert_false(root_port_powered(&f->port));
}

static void test_secondary_bus_reset(void **state)
{
	struct fixture *f = *state;

	assert_true(wr(f, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET));
	assert_int_equal(f->bus_resets, 1);
	assert_int_equal(rd(f, PCI_BRIDGE_CONTROL, 2), PCI_BRIDGE_CTL_BUS_RESET);
	assert_false(wr(f, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET | 1));
	assert_false(wr(f, PCI_BRIDGE_CONTROL, 2, 0));
	assert_int_equal(f->bus_resets, 1);
	/* As part of a dword, with the interrupt line below it. */
	assert_true(wr(f, PCI_INTERRUPT_LINE, 4, (uint32_t)PCI_BRIDGE_CTL_BUS_RESET << 16 | 5));
	assert_int_equal(f->bus_resets, 2);
	assert_int_equal(rd(f, PCI_INTERRUPT_LINE, 1), 5);
	/* Whoever resets may take his time: the write is over when he says so, once. */
	assert_false(wr(f, PCI_BRIDGE_CONTROL, 2, 0));
	f->bus_reset_later = true;
	assert_true(wr(f, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET));
	assert_int_equal(f->bus_resets, 3);
	f->port.ops = NULL;
	assert_false(wr(f, PCI_BRIDGE_CONTROL, 2, 0));
	assert_false(wr(f, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET));
}

static void test_release_of_nothing(void **state)
{
	struct root_port port;

	(void)state;
	memset(&port, 0, sizeof(port));
	root_port_release(&port);
	root_port_release(NULL);
}

#define NATIVE(name) cmocka_unit_test_setup_teardown(name, setup_native, teardown)
#define ACPI(name) cmocka_unit_test_setup_teardown(name, setup_acpi, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NATIVE(test_identity),
		NATIVE(test_slot_numbers),
		ACPI(test_hot_plug_bits_only_when_native),
		NATIVE(test_bridge_registers),
		NATIVE(test_native_plug),
		NATIVE(test_native_unplug),
		NATIVE(test_unplug_from_inside_the_callback),
		NATIVE(test_held_card_is_shown_by_the_timer),
		NATIVE(test_no_interrupt_without_msi_or_mastering),
		NATIVE(test_reset_shows_what_is_plugged),
		NATIVE(test_secondary_bus_reset),
		NATIVE(test_device_control_2),
		NATIVE(test_offer),
		ACPI(test_link_status_is_the_cards),
		NATIVE(test_find_cap),
		cmocka_unit_test(test_speed_and_width),
		cmocka_unit_test(test_release_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

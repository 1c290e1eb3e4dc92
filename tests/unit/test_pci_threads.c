/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pci_threads.c - vCPUs hammer config space while main plugs and unplugs cards: nothing is
 * used after it was freed, nobody waits for ever, and what main maps it also unmaps. TSan and ASan
 * judge.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/pci_host.h>
#include <portcullis/root_port.h>

#define VCPUS 3
#define CYCLES 400
#define ECAM 0xc0000000ull

struct machine {
	struct bus bus;
	struct loop loop;
	struct pci_sink sink;
	struct pci_bus root;
	struct pci_host host;
	struct pci_function bridge;
	struct root_port port;
	int mapped; /* main's */
	_Atomic bool stop;
	_Atomic unsigned long reads, wrong;
};

struct vcpu {
	struct machine *machine;
	struct bus_reader reader;
	struct io_request request;
	pthread_t thread;
	unsigned seed;
};

struct card {
	struct pci_function fn;
	struct mail bury;
};

static int map_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;

	(void)fn;
	(void)bar;
	(void)addr;
	m->mapped++;
	return 0;
}

static void unmap_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;

	(void)fn;
	(void)bar;
	(void)addr;
	m->mapped--;
}

static void raise_msi(void *opaque, uint64_t addr, uint32_t data)
{
	(void)opaque;
	(void)addr;
	(void)data;
}

static void commit(void *opaque)
{
	struct machine *m = opaque;

	bus_publish(&m->bus);
}

static void machine_init(struct machine *m)
{
	struct bus_region ecam = { .base = ECAM, .size = 1 << 28, .fn = pci_host_ecam };
	void *options;

	memset(m, 0, sizeof(*m));
	ecam.opaque = &m->host;
	assert_int_equal(bus_init(&m->bus), 0);
	assert_int_equal(loop_init(&m->loop), 0);
	m->sink = (struct pci_sink){ .map_bar = map_bar,
		.unmap_bar = unmap_bar,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = m,
		.main = &m->loop };
	pci_bus_init(&m->root, "pcie.0", NULL, &m->sink);
	m->host.root = &m->root;
	pci_host_bridge_init(&m->bridge, 0x8086, 0x29c0);
	assert_int_equal(pci_plug(&m->root, &m->bridge, 0, false, NULL), 0);
	assert_int_equal(props_new(&root_port_type, &options), 0);
	assert_int_equal(props_parse(&root_port_type, options, "id=rp,native-hotplug=on", NULL), 0);
	assert_int_equal(root_port_init(&m->port, options, &m->sink), 0);
	assert_int_equal(pci_plug(&m->root, &m->port.function, PCI_DEVFN(1, 0), false, NULL), 0);
	pci_put(m->port.function.config, PCI_PRIMARY_BUS, 3, 0x010100);
	atomic_store(&m->port.function.bus_numbers, 0x010100);
	assert_int_equal(bus_add(&m->bus, BUS_MMIO, &ecam), 0);
	bus_publish(&m->bus);
}

static void machine_release(struct machine *m)
{
	root_port_release(&m->port);
	pci_function_release(&m->bridge);
	bus_release(&m->bus);
	loop_release(&m->loop);
}

/* A register of the card or of the port; COMMAND, BARs and Slot Control more often than others. */
static uint64_t pick(struct vcpu *v)
{
	static const uint16_t hot[] = { PCI_VENDOR_ID, PCI_COMMAND, PCI_BASE_ADDRESS_0,
		PCI_BASE_ADDRESS_1, 0x40 + PCI_EXP_SLTCTL, 0x40 + PCI_EXP_SLTSTA };
	unsigned which = (unsigned)rand_r(&v->seed);
	uint64_t function = which & 1 ? 1 << 20 : PCI_DEVFN(1, 0) << 12;
	uint64_t offset = (unsigned)rand_r(&v->seed) & 0xffc;

	if (which & 2)
		offset = hot[(unsigned)rand_r(&v->seed) % 6];
	return ECAM + function + offset;
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *v = opaque;
	struct machine *m = v->machine;

	while (!atomic_load(&m->stop)) {
		struct io_access access = { .size = 2, .request = &v->request };
		uint64_t addr = pick(v);

		access.write = rand_r(&v->seed) & 1;
		access.data = (unsigned)rand_r(&v->seed) & 0xffff;
		/* The bus numbers stay, so that the card is hit. */
		if (access.write && (addr & 0xffc) == PCI_PRIMARY_BUS)
			continue;
		bus_dispatch(&m->bus, &v->reader, BUS_MMIO, addr, &access);
		if (addr == ECAM + (1 << 20) && !access.write) {
			atomic_fetch_add(&m->reads, 1);
			if (access.data != 0xca4d && access.data != 0xffff)
				atomic_fetch_add(&m->wrong, 1);
		}
	}
	return NULL;
}

static struct card *card_new(void)
{
	struct card *card = calloc(1, sizeof(*card));

	assert_non_null(card);
	pci_function_init(&card->fn, "card", NULL, NULL);
	pci_put(card->fn.config, PCI_VENDOR_ID, 2, 0xca4d);
	pci_set_bar(&card->fn, 0, PCI_BAR_MEM64, 0x4000, false);
	pci_function_save(&card->fn);
	return card;
}

static void bury(struct mail *mail)
{
	struct card *card = container_of(mail, struct card, bury);

	pci_function_release(&card->fn);
	memset(card, 0xdb, sizeof(*card));
	free(card);
}

static void cycle(struct machine *m)
{
	struct card *card = card_new();

	assert_int_equal(pci_plug(&m->port.bus, &card->fn, 0, false, NULL), 0);
	root_port_set_presence(&m->port, true);
	loop_step(&m->loop, 0);
	root_port_press_attention(&m->port);
	loop_step(&m->loop, 0);
	pci_unplug(&card->fn);
	for (uint64_t grace = bus_grace(&m->bus); !bus_grace_over(&m->bus, grace);)
		sched_yield();
	assert_int_equal(m->mapped, 0);
	root_port_set_presence(&m->port, false);
	card->bury.run = bury;
	loop_post(&m->loop, &card->bury);
}

static void test_config_space_while_cards_come_and_go(void **state)
{
	static struct machine m;
	static struct vcpu v[VCPUS];

	(void)state;
	machine_init(&m);
	for (unsigned i = 0; i < VCPUS; i++) {
		v[i] = (struct vcpu){ .machine = &m, .seed = i, .request = { .done = 1 } };
		assert_int_equal(bus_add_reader(&m.bus, &v[i].reader), 0);
	}
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(pthread_create(&v[i].thread, NULL, vcpu_main, &v[i]), 0);
	for (unsigned i = 0; i < CYCLES || atomic_load(&m.reads) < 100; i++)
		cycle(&m);
	atomic_store(&m.stop, true);
	for (unsigned i = 0; i < VCPUS; i++)
		while (pthread_tryjoin_np(v[i].thread, NULL))
			loop_step(&m.loop, 1);
	loop_step(&m.loop, 0);
	assert_int_equal(atomic_load(&m.wrong), 0);
	machine_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_space_while_cards_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

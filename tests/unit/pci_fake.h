/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci_fake.h - a machine's side of struct pci_sink that records what it is asked for, and a bus
 * for a function.
 */
#ifndef TESTS_UNIT_PCI_FAKE_H
#define TESTS_UNIT_PCI_FAKE_H

#include <portcullis/loop.h>
#include <portcullis/pci.h>
#include <portcullis/pci_host.h>

#define FAKE_LOG 64

struct fake_call {
	char what; /* 'm'ap, 'u'nmap, 'c'ommit, 'i'nterrupt */
	struct pci_function *fn;
	unsigned bar;
	uint64_t addr;
	uint32_t data;
};

struct fake_sink {
	struct pci_sink sink;
	struct loop loop;
	struct fake_call log[FAKE_LOG];
	unsigned calls; /* may exceed FAKE_LOG: later ones are only counted */
	int map_result;
};

void fake_sink_init(struct fake_sink *fake);
void fake_sink_release(struct fake_sink *fake);
/* Calls of one kind since the last fake_sink_clear(). */
unsigned fake_sink_count(const struct fake_sink *fake, char what);
void fake_sink_clear(struct fake_sink *fake);

/* A function called "dev", and a bus that it is not plugged into yet. */
struct fake_bus {
	struct fake_sink fake;
	struct pci_bus bus;
	struct pci_function fn;
};

/* cmocka fixtures. */
int fake_bus_setup(void **state);
int fake_bus_teardown(void **state);

/*
 * Config space as a vCPU would reach it; a deferred write is finished by stepping the fake's loop.
 */
uint32_t fake_read(struct pci_function *fn, unsigned offset, unsigned size);
/* Returns whether the write was deferred to main. */
bool fake_write(struct fake_sink *fake, struct pci_function *fn, unsigned offset, unsigned size,
	uint32_t value);

/* What a guest finds when it walks the list of capabilities; 0: none. */
unsigned fake_find_cap(const struct pci_function *fn, uint8_t id);
/* What a bridge forwards, both ends inclusive; false: the window is closed. */
bool fake_bridge_window(
	const struct pci_function *fn, enum pci_window window, uint64_t *base, uint64_t *last);

#endif

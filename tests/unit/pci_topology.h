/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci_topology.h - a tree of root ports and cards to assign addresses in, and the properties that
 * hold for any of them: aligned, inside its window, overlapping nothing, reachable through bridges.
 */
#ifndef TESTS_UNIT_PCI_TOPOLOGY_H
#define TESTS_UNIT_PCI_TOPOLOGY_H

#include <portcullis/err.h>
#include <portcullis/pci_host.h>
#include <portcullis/root_port.h>

#include "pci_fake.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PORTS_MAX 60
#define CARDS_MAX 120

struct topology {
	struct fake_sink fake;
	struct pci_bus root;
	struct pci_function host_bridge;
	struct root_port port[PORTS_MAX];
	struct pci_function card[CARDS_MAX];
	char card_id[CARDS_MAX][16];
	unsigned n_ports, n_cards;
	struct pci_windows windows; /* 512 GiB high, the standard machine's low ones */
};

/* cmocka fixtures. */
int topology_setup(void **state);
int topology_teardown(void **state);

/* text: more properties, each with its comma in front. */
struct root_port *topology_add_port(struct topology *t, uint8_t devfn, const char *text);
struct pci_function *topology_add_card(struct topology *t, struct pci_bus *bus, uint8_t devfn);
/* Also at power-on. */
void topology_set_bar(struct pci_function *fn, unsigned bar, enum pci_bar_kind kind, uint64_t size,
	bool prefetchable);
/* The slots behind the host bridge, with all their functions. */
uint8_t topology_devfn(unsigned n);

/* pci_assign(), and checks every property. */
int topology_assign(struct topology *t, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root_port_express.h - a root port's PCI Express capability but the slot's part: what the port can
 * do, and its link. (private to src/pci)
 */
#ifndef PORTCULLIS_PCI_ROOT_PORT_EXPRESS_H
#define PORTCULLIS_PCI_ROOT_PORT_EXPRESS_H

#include <portcullis/root_port.h>

/* Adds the capability (port->exp). Slot Capabilities and Control are the caller's. */
void root_port_express_init(struct root_port *port);
/* The link is up or down: as the port alone would have it. The caller holds the lock. */
void root_port_link_show(struct root_port *port);
/* struct pci_function_ops: Link Status as the card has its end of the link. */
uint32_t root_port_express_read(struct pci_function *fn, unsigned offset, unsigned size);

#endif

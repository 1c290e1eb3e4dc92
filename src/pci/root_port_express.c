/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root_port_express.c - what a root port can do and how fast its link is (PCIe 5.0 7.5.3).
 *
 * Link:  as fast as any card of today by default, because drivers take the port's speed for the
 *        platform's, and a card behind a slow one for slowed down. What was negotiated is what the
 *        card says of its end, each time it is asked: a GPU's link is slow while it is idle.
 * Agreements between card and platform:
 *        AtomicOps and 10-bit tags need a completer, which is not this port but the host's memory
 *        behind the card's real path: offered as long as that is known to do it of all cards in the
 *        slot (root_port_offer()). LTR messages end in the host's root port, and whether that takes
 *        them is why a card shows the guest that it could send some: the port always agrees. So it
 *        does to 8-bit tags, which every completer takes (2.2.6.2).
 */
#include <linux/pci_regs.h>

#include "root_port_express.h"

#include "slot.h"

#define EXP_SIZE 0x3c
#define DEVCTL_WRITABLE                                                                            \
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |  \
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_NOSNOOP_EN |     \
		PCI_EXP_DEVCTL_READRQ)
#define LNKCTL_WRITABLE (PCI_EXP_LNKCTL_LD | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES)
#define RTCTL_WRITABLE                                                                             \
	(PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE | PCI_EXP_RTCTL_SEFEE | PCI_EXP_RTCTL_PMEIE)
#define SLTSTA_EVENTS (0x1f | PCI_EXP_SLTSTA_DLLSC)
/* PCIe 5.0 7.5.3.20: complete, and its three phases were successful. */
#define LNKSTA2_EQUALIZED 0x001e
#define SPEED_EQUALIZED 3 /* 8 GT/s: the first that asks for it */

/* LNKCAP's codes, by index into the choices of x-speed and x-width (root_port_props.c). */
static uint32_t speed_of(const struct root_port *port)
{
	return (uint32_t)port->options->x_speed + 1;
}

static uint32_t width_of(const struct root_port *port)
{
	static const uint8_t lanes[] = { 1, 2, 4, 8, 12, 16, 32 };

	return lanes[port->options->x_width];
}

static void add_link(struct root_port *port)
{
	uint8_t *config = port->function.config, *wmask = port->function.wmask;
	const unsigned at = port->exp;
	const uint32_t speed = speed_of(port);

	pci_put(config, at + PCI_EXP_LNKCAP, 4,
		speed | width_of(port) << 4 | PCI_EXP_LNKCAP_DLLLARC |
			(uint32_t)port->options->port << 24);
	pci_put(wmask, at + PCI_EXP_LNKCTL, 2, LNKCTL_WRITABLE);
	/* Bit n for each speed code n up to the highest. */
	pci_put(config, at + PCI_EXP_LNKCAP2, 4, (2u << speed) - 2);
	pci_put(config, at + PCI_EXP_LNKCTL2, 2, speed);
	pci_put(wmask, at + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS);
}

void root_port_express_init(struct root_port *port)
{
	struct pci_function *fn = &port->function;
	unsigned at = port->exp = pci_add_cap(fn, PCI_CAP_ID_EXP, 0, EXP_SIZE);
	uint8_t *config = fn->config, *wmask = fn->wmask, *w1c = fn->w1cmask;

	pci_put(config, at + PCI_EXP_FLAGS, 2,
		2 | PCI_EXP_TYPE_ROOT_PORT << 4 | PCI_EXP_FLAGS_SLOT);
	pci_put(config, at + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_EXT_TAG);
	pci_put(config, at + PCI_EXP_DEVCTL, 2,
		PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_NOSNOOP_EN |
			PCI_EXP_DEVCTL_READRQ_512B);
	pci_put(wmask, at + PCI_EXP_DEVCTL, 2, DEVCTL_WRITABLE);
	pci_put(w1c, at + PCI_EXP_DEVSTA, 2, 0xf);
	add_link(port);
	pci_put(w1c, at + PCI_EXP_SLTSTA, 2, SLTSTA_EVENTS);
	pci_put(wmask, at + PCI_EXP_RTCTL, 2, RTCTL_WRITABLE);
	pci_put(w1c, at + PCI_EXP_RTSTA, 4, PCI_EXP_RTSTA_PME);
	pci_put(config, at + PCI_EXP_DEVCAP2, 4, PCI_EXP_DEVCAP2_LTR);
	pci_put(wmask, at + PCI_EXP_DEVCTL2, 2, PCI_EXP_DEVCTL2_LTR_EN);
}

static uint32_t lower(uint32_t value, uint32_t most)
{
	return value && value < most ? value : most;
}

/* card: its Link Status; 0 in a virtual function and where there is none: as the port could. */
static void show(struct root_port *port, uint32_t card)
{
	const uint32_t speed = lower(card & PCI_EXP_LNKSTA_CLS, speed_of(port));
	const uint32_t width = lower((card & PCI_EXP_LNKSTA_NLW) >> 4, width_of(port));
	uint8_t *config = port->function.config;
	uint32_t status = 1, status2 = 0; /* down: the speed is undefined, but 0 is reserved */

	if (port->slot->link) {
		status = speed | width << 4 | PCI_EXP_LNKSTA_DLLLA;
		status2 = speed >= SPEED_EQUALIZED ? LNKSTA2_EQUALIZED : 0;
	}
	pci_put(config, port->exp + PCI_EXP_LNKSTA, 2, status);
	pci_put(config, port->exp + PCI_EXP_LNKSTA2, 2, status2);
}

void root_port_link_show(struct root_port *port)
{
	show(port, 0);
}

static bool link_up(struct root_port *port)
{
	bool up;

	pthread_mutex_lock(&port->function.lock);
	up = port->slot->link;
	pthread_mutex_unlock(&port->function.lock);
	return up;
}

/* No lock is held: the card has its own, and may be asked itself. */
static uint32_t card_status(struct root_port *port)
{
	struct pci_function *card = atomic_load(&port->bus.function[0]);
	unsigned at = card && link_up(port) ? pci_find_cap(card, PCI_CAP_ID_EXP) : 0;

	return at ? pci_function_read(card, at + PCI_EXP_LNKSTA, 2) : 0;
}

static bool overlaps(unsigned offset, unsigned size, unsigned at, unsigned length)
{
	return offset < at + length && at < offset + size;
}

uint32_t root_port_express_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct root_port *port = container_of(fn, struct root_port, function);
	uint32_t card;

	if (overlaps(offset, size, port->exp + PCI_EXP_LNKSTA, 2) ||
		overlaps(offset, size, port->exp + PCI_EXP_LNKSTA2, 2)) {
		card = card_status(port);
		pthread_mutex_lock(&fn->lock);
		show(port, card);
		pthread_mutex_unlock(&fn->lock);
	}
	return pci_config_read(fn, offset, size);
}

void root_port_offer(struct root_port *port, uint32_t completes)
{
	struct pci_function *fn = &port->function;
	const unsigned at = port->exp + PCI_EXP_DEVCAP2;

	pthread_mutex_lock(&fn->lock);
	pci_put(fn->config, at, 4, PCI_EXP_DEVCAP2_LTR | (completes & ROOT_PORT_OFFERS));
	pci_put(fn->reset_config, at, 4, PCI_EXP_DEVCAP2_LTR | (completes & ROOT_PORT_OFFERS));
	pthread_mutex_unlock(&fn->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* pvpanic.c - pvpanic-pci, as guests know it from QEMU. */
#include <errno.h>
#include <stdlib.h>

#include <linux/pci_regs.h>

#include <portcullis/pvpanic.h>

#define BAR_SIZE 16 /* the smallest a memory BAR can be (PCI 3.0 6.2.5.1) */

#define AT(field) offsetof(struct pvpanic_options, field)
DEVICE_OPTIONS_HEAD(struct pvpanic_options, device);

/* clang-format off */
static const struct prop props[] = {
	DEVICE_PROP_ID(.help = "name of the device, for device_del"),
	DEVICE_PROP_BUS(.help = "pcie.0 or the id of a pcie-root-port"),
	DEVICE_PROP_ADDR(.help = "guest slot and function, SLOT[.FN]; the first free slot if not given"),
	DEVICE_PROP_MULTIFUNCTION(.help = "other functions share the slot"),
	{ .name = "events", .kind = PROP_UINT, .offset = AT(events), .def = "7", .max = PVPANIC_EVENTS,
	  .help = "events the guest is told of: 1 panic, 2 crash kernel loaded, 4 shutdown" },
	DEVICE_PROP_UNPLUG_TIMEOUT,
	{ .name = NULL },
};
/* clang-format on */

const struct prop_type pvpanic_type = {
	.name = "pvpanic-pci",
	.help = "a register by which the guest's kernel says that it has crashed",
	.size = sizeof(struct pvpanic_options),
	.props = props,
};

/* On main. The card may be off its bus, but is not freed yet (bus.h, Life). */
static void finish(struct io_request *request)
{
	struct pvpanic_sink *sink = request->opaque;

	sink->on_event(sink->opaque, request->arg);
	io_complete(request);
}

static enum io_status bar_access(void *opaque, struct io_access *access)
{
	struct pvpanic *p = opaque;
	const uint32_t events = access->data & PVPANIC_EVENTS;

	if (!access->write)
		access->data = access->offset ? 0 : p->options->events;
	else if (!access->offset && events)
		return io_defer(access, p->sink->main, finish, p->sink, events);
	return IO_DONE;
}

static void *bar_opaque(struct pci_function *fn, unsigned bar)
{
	(void)bar;
	return fn->opaque;
}

static const struct pci_function_ops ops = { .bar_access = bar_access, .bar_opaque = bar_opaque };

int pvpanic_new(struct pvpanic **out, struct pvpanic_options *options, struct pvpanic_sink *sink,
	struct closer *closer)
{
	struct pvpanic *p = calloc(1, sizeof(*p));
	struct pci_function *fn;

	if (!p) {
		props_free(&pvpanic_type, options, closer);
		return -ENOMEM;
	}
	p->options = options;
	p->sink = sink;
	fn = &p->function;
	pci_function_init(fn, options->device.id, &ops, p);
	pci_put(fn->config, PCI_VENDOR_ID, 2, 0x1b36);
	pci_put(fn->config, PCI_DEVICE_ID, 2, 0x0011);
	pci_put(fn->config, PCI_CLASS_REVISION, 4, 0x08800001); /* other system peripheral, 01 */
	pci_put(fn->config, PCI_SUBSYSTEM_VENDOR_ID, 2, 0x1af4);
	pci_put(fn->config, PCI_SUBSYSTEM_ID, 2, 0x1100);
	pci_set_bar(fn, 0, PCI_BAR_MEM32, BAR_SIZE, false);
	pci_function_save(fn);
	*out = p;
	return 0;
}

void pvpanic_free(struct pvpanic *p, struct closer *closer)
{
	if (!p)
		return;
	pci_function_release(&p->function);
	props_free(&pvpanic_type, p->options, closer);
	free(p);
}

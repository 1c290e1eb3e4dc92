/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_fault.h - what goes wrong with a passed-through device: errors, and resets that it does not
 * survive. What the user wants done about it is the on-error of device_options.h.
 *
 * Layer: L3. Any role but vcpu; never waits for a device or its worker, takes no lock.
 */
#ifndef PORTCULLIS_VFIO_FAULT_H
#define PORTCULLIS_VFIO_FAULT_H

#include <stdbool.h>

#include <portcullis/role.h>

struct vfio_context;
struct vfio_pci;

/* How bad the last error was, as the device's own registers told when it came. */
enum vfio_severity {
	VFIO_ERROR_NONE,
	VFIO_ERROR_UNKNOWN,  /* uncorrectable; the host had cleared the registers already */
	VFIO_ERROR_NONFATAL, /* a transaction failed, the link did not */
	VFIO_ERROR_FATAL,    /* the host resets the link */
	VFIO_ERROR_LOST,     /* it does not answer after a reset: kept from the guest */
};
/* "unknown", "nonfatal", "fatal", "lost"; NULL for none. */
const char *vfio_severity_name(enum vfio_severity severity);

struct vfio_pci_state {
	const char *reset;	  /* how it was last reset: "flr", "pm", "bus", ..., "none" */
	enum vfio_severity error; /* of the last one */
	bool quarantined;	  /* reads as absent until a reset brings it back */
	unsigned long denied;	  /* config writes of the guest that the firewall dropped */
};
void vfio_pci_query(const struct vfio_pci *dev, struct vfio_pci_state *out);

/*
 * No vCPU runs and all devices are being reset or given back: those that can only be reset together
 * may be. So it is until the first false.
 */
void vfio_context_set_multi_reset(struct vfio_context *context, bool allowed) ON_MAIN;

#endif

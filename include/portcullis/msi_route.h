/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msi_route.h - which message a GSI sends: what devices ask for (irq_sink.h) and KVM does (kvm.h).
 *
 * Layer: L0, so that neither knows the other.
 */
#ifndef PORTCULLIS_MSI_ROUTE_H
#define PORTCULLIS_MSI_ROUTE_H

#include <stdint.h>

struct msi_route {
	uint32_t gsi;
	uint32_t data;
	uint64_t addr;
};

#endif

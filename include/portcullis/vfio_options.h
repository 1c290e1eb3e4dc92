/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_options.h - what a user may say of a passed-through device, and of the objects it uses.
 *
 * Layer: L3, data only, includes base.
 */
#ifndef PORTCULLIS_VFIO_OPTIONS_H
#define PORTCULLIS_VFIO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/device_options.h>
#include <portcullis/prop.h>

/* -device vfio-pci,...; the one table for command line, QMP and help. */
extern const struct prop_type vfio_pci_type;
#define VFIO_NV_CLIQUE_NONE UINT64_MAX
struct vfio_pci_options {
	struct device_options device;
	struct host_bdf host;
	char *sysfsdev; /* instead of host: directory of a device without its own address (mdev) */
	char *iommufd;	/* id of an iommufd object: IOMMUFD and a cdev instead of a group */
	int fd;		/* with iommufd: open on the cdev; -1: none. open() takes it */
	struct pci_ids expect;	      /* "x-expect": refuse any other device */
	struct uuid vf_token;	      /* what SR-IOV's functions have in common */
	bool p2p;		      /* "x-p2p": other devices' DMA reaches its BARs */
	int32_t rombar;		      /* enum on_off_auto: show an expansion ROM */
	char *romfile;		      /* this one instead of the device's own; "": none */
	bool allow_unsafe_interrupts; /* "x-allow-unsafe-interrupts" */
	bool no_intx;		      /* "x-no-intx": show no INTx */
	bool trap_config_mirror;      /* "x-trap-config-mirror" */
	uint64_t nv_clique;	      /* "x-nv-gpudirect-clique", 0-15 */
	bool strict_config;	      /* "x-strict-config": no register outside capabilities */
};

/* -object iommufd,...: /dev/iommu, opened with the first device that names the object. */
extern const struct prop_type vfio_iommufd_type;
struct vfio_iommufd_options {
	char *id;
	int fd; /* open on /dev/iommu; -1: opened when needed */
};

#endif

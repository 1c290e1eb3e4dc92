/* SPDX-License-Identifier: Apache-2.0 */
/* function.h - what the parts of src/pci share about functions. (private to src/pci and tests) */
#ifndef PORTCULLIS_PCI_FUNCTION_H
#define PORTCULLIS_PCI_FUNCTION_H

#include <portcullis/pci.h>

#define HEADER_MULTI 0x80	  /* of the header type: this slot has several functions */
#define PCI_STATUS_ERRORS 0xf900u /* the error bits, each cleared by writing one */

#endif

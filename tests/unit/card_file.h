/* SPDX-License-Identifier: Apache-2.0 */
/*
 * card_file.h - a card as data: config space, BARs, and what its driver does with it.
 *
 * The format is described in tests/cards/README.md. Reading one file does not stop at a mistake in
 * it but reports it, as file:line, and fails.
 */
#ifndef TESTS_CARD_FILE_H
#define TESTS_CARD_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_vfio_device.h"

#define CARD_STEPS_MAX 256
#define CARD_TEXT_MAX 256

enum card_verb {
	CARD_GUEST,   /* a fresh card, with text as its options */
	CARD_READ,    /* the guest reads value */
	CARD_WRITE,   /* the guest writes value */
	CARD_HAS,     /* the card's own register is value */
	CARD_SET,     /* the card changes its register to value */
	CARD_CAPS,    /* capabilities in the guest's list: text */
	CARD_ECAPS,   /* extended ones */
	CARD_MAPPED,  /* pieces of a BAR that the guest has mapped: text */
	CARD_FIRES,   /* the card's interrupt number value reaches the guest */
	CARD_WARNS,   /* realizing it logged text */
	CARD_QUIET,   /* realizing it logged nothing */
	CARD_REFUSED, /* it could not be realized: text */
};

/* Where a write ended. */
enum card_reach { CARD_ANYWHERE, CARD_REACHES, CARD_STAYS };

#define CARD_CONFIG (-1) /* else a BAR, PCI_ROM */

struct card_step {
	unsigned line;
	enum card_verb verb;
	int where;
	uint64_t offset;
	unsigned size;
	uint64_t value, mask; /* mask: bits that are said */
	enum card_reach reach;
	char text[CARD_TEXT_MAX];    /* the verb's own */
	char comment[CARD_TEXT_MAX]; /* behind '#': the register's name */
};

struct card_bar {
	uint64_t size;
	bool map, trap; /* said; else as the kernel would */
};

struct card_file {
	const char *path;
	char title[CARD_TEXT_MAX];
	bool sourced;
	uint8_t config[PCI_CONFIG_SIZE];
	unsigned config_size; /* 0: as far as it was given */
	unsigned config_end;
	struct card_bar bar[PCI_BARS];
	int irq[VFIO_PCI_NUM_IRQS]; /* -1: as config space says */
	bool no_reset;
	unsigned n_steps;
	struct card_step step[CARD_STEPS_MAX + 1]; /* behind the last: CARD_GUEST */
	unsigned errors;
};

/* Mistakes go to standard error and are counted in errors. -errno: it cannot be read. */
int card_file_read(struct card_file *file, const char *path);
/* As the kernel would hand the card over. */
void card_file_fill(const struct card_file *file, struct fake_card *card);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cards.c - cards as data, tests/cards/X.card, played through the device side of src/vfio: a
 * test for each. With names of files it plays those. A card's guest is whoever its driver runs in.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "card_file.h"
#include "log_capture.h"

#define CARDS "tests/cards/*.card"

/* A card being played. */
struct play {
	struct card_file file;
	struct fake_rig rig;
	const struct card_step *step, *guest;
	bool plugged;
	int realized; /* what realize returned */
	struct err err;
	char log[4096];
	unsigned failures;
};

/* Of the guest under way: set_options() has no other way to learn, and to tell. */
static const char *options;
static struct err options_err;

/* file:line, the register and its name, what was expected and what is. */
static void __attribute__((format(printf, 2, 3))) differs(struct play *p, const char *fmt, ...)
{
	const struct card_step *step = p->step;
	va_list args;

	fprintf(stderr, "%s:%u: ", p->file.path, step->line);
	if (step->size && step->where == CARD_CONFIG)
		fprintf(stderr, "config %" PRIx64 ".%u", step->offset, step->size);
	else if (step->size)
		fprintf(stderr, "bar%d+%" PRIx64 ".%u", step->where, step->offset, step->size);
	fprintf(stderr, "%s%s%s%s", step->size && *step->comment ? " (" : "",
		step->size ? step->comment : "", step->size && *step->comment ? ")" : "",
		step->size ? ": " : "");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " [guest %s]\n", *p->guest->text ? p->guest->text : "without options");
	p->failures++;
}

static void compare(struct play *p, uint64_t got)
{
	const struct card_step *step = p->step;
	int digits = (int)step->size * 2;

	if ((got ^ step->value) & step->mask)
		differs(p, "expected %0*" PRIx64 " (of %0*" PRIx64 "), got %0*" PRIx64, digits,
			step->value, digits, step->mask, digits, got);
}

static void expect_text(struct play *p, const char *got)
{
	if (strcmp(got, p->step->text))
		differs(p, "expected '%s', got '%s'", p->step->text, got);
}

static void expect_words(struct play *p, const char *got)
{
	if (!strstr(got, p->step->text))
		differs(p, "'%s' does not say '%s'", got, p->step->text);
}

static void set_options(struct vfio_pci_options *out)
{
	memset(&options_err, 0, sizeof(options_err));
	if (*options)
		props_parse(&vfio_pci_type, out, options, &options_err);
}

static void unplug(struct play *p)
{
	if (!p->plugged)
		return;
	fake_rig_release(&p->rig);
	if (p->rig.machine.violation[0])
		differs(p, "%s", p->rig.machine.violation);
	p->plugged = false;
}

/* The next guest gets the card as it was at power-on. */
static void guest(struct play *p)
{
	unplug(p);
	memset(&p->rig, 0, sizeof(p->rig));
	memset(&p->err, 0, sizeof(p->err));
	p->guest = p->step;
	options = p->step->text;
	p->rig.set_options = set_options;
	fake_card_init(&p->rig.card);
	fake_machine_init(&p->rig.machine);
	card_file_fill(&p->file, &p->rig.card);
	p->plugged = true;
	log_capture_start();
	p->realized = fake_rig_realize(&p->rig, "port", &p->err);
	snprintf(p->log, sizeof(p->log), "%s", log_captured());
	log_capture_stop();
	if (options_err.code)
		differs(p, "%s", options_err.text);
	if (p->realized && p->step[1].verb != CARD_REFUSED)
		differs(p, "it was refused: %s", p->err.text);
}

static void guest_read(struct play *p)
{
	const struct card_step *step = p->step;

	if (step->where == CARD_CONFIG)
		compare(p, fake_config_read(&p->rig, (unsigned)step->offset, step->size));
	else
		compare(p, fake_bar_read(&p->rig, (unsigned)step->where, step->offset, step->size));
}

/* The card's own register; NULL: this fake has none there. */
static uint8_t *own_register(struct play *p)
{
	const struct card_step *step = p->step;
	const struct fake_region *region;

	if (step->where == CARD_CONFIG)
		return p->rig.card.config + step->offset;
	region = &p->rig.card.region[step->where];
	if (region->bytes && step->offset + step->size <= region->size)
		return region->bytes + step->offset;
	differs(p, "the card has no register there");
	return NULL;
}

static void card_has(struct play *p)
{
	const uint8_t *at = own_register(p);
	uint64_t value = 0;

	if (!at)
		return;
	memcpy(&value, at, p->step->size);
	compare(p, value);
}

static void card_set(struct play *p)
{
	uint8_t *at = own_register(p);

	if (at)
		memcpy(at, &p->step->value, p->step->size);
}

static void guest_write(struct play *p)
{
	const struct card_step *step = p->step;
	const struct fake_card *card = &p->rig.card;
	unsigned config = card->config_writes, region = card->region_writes;
	bool reached;

	if (step->where == CARD_CONFIG)
		fake_config_write(
			&p->rig, (unsigned)step->offset, step->size, (uint32_t)step->value);
	else
		fake_bar_write(
			&p->rig, (unsigned)step->where, step->offset, step->size, step->value);
	reached = card->config_writes != config || card->region_writes != region;
	if (step->reach == CARD_STAYS && reached)
		differs(p, "the write was to stay with us, and reached the card");
	if (step->reach == CARD_REACHES && !reached)
		differs(p, "the write did not reach the card");
	else if (step->reach == CARD_REACHES)
		card_has(p);
}

static void __attribute__((format(printf, 2, 3))) add(char *list, const char *fmt, ...)
{
	size_t used = strlen(list);
	va_list args;

	va_start(args, fmt);
	vsnprintf(list + used, CARD_TEXT_MAX - used, fmt, args);
	va_end(args);
}

/* In the order of the guest's list. */
static void list_caps(struct play *p)
{
	bool extended = p->step->verb == CARD_ECAPS;
	char list[CARD_TEXT_MAX] = "";
	uint8_t view[PCI_CONFIG_SIZE];
	struct cap_list caps;

	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		view[i] = (uint8_t)fake_config_read(&p->rig, i, 1);
	if (extended)
		caps_walk_ext(view, PCI_CONFIG_SIZE, &caps);
	else
		caps_walk(view, &caps);
	for (unsigned i = 0; i < caps.count; i++)
		add(list, extended ? "%s%03x:%04x" : "%s%02x:%02x", i ? " " : "",
			caps.cap[i].offset, caps.cap[i].id);
	expect_text(p, *list ? list : "none");
	if (caps.broken)
		differs(p, "the guest's list leads nowhere");
}

static void list_mapped(struct play *p)
{
	struct pci_area area[PCI_AREAS_MAX];
	unsigned n = vfio_bar_areas(&p->rig.dev->fn, (unsigned)p->step->where, area);
	char list[CARD_TEXT_MAX] = "";

	for (unsigned i = 0; i < n; i++)
		if (area[i].hva)
			add(list, "%s%" PRIx64 "-%" PRIx64, *list ? " " : "", area[i].offset,
				area[i].offset + area[i].size - 1);
	expect_text(p, *list ? list : "none");
}

static void fires(struct play *p)
{
	struct vfio_irqs *irqs = &p->rig.dev->irqs;
	unsigned vector = (unsigned)p->step->value, gsi, before;

	if (irqs->mode != VFIO_IRQ_INTX && vector >= irqs->n_vectors) {
		differs(p, "the card has %u vectors", irqs->n_vectors);
		return;
	}
	gsi = irqs->mode == VFIO_IRQ_INTX ? (unsigned)irqs->intx_gsi : irqs->vector[vector].gsi;
	before = p->rig.machine.delivered[gsi];
	fake_card_fire(&p->rig.card, vector);
	fake_step(&p->rig);
	if (p->rig.machine.delivered[gsi] != before + 1)
		differs(p, "interrupt %u did not reach the guest", vector);
}

static void warns(struct play *p)
{
	expect_words(p, p->log);
}

static void quiet(struct play *p)
{
	if (*p->log)
		differs(p, "was to be quiet, and said '%s'", p->log);
}

static void refused(struct play *p)
{
	if (!p->realized)
		differs(p, "it was not refused");
	else
		expect_words(p, strstr(p->err.text, p->step->text) ? p->err.text : p->err.hint);
}

static void (*const verbs[])(struct play *p) = {
	[CARD_GUEST] = guest,
	[CARD_READ] = guest_read,
	[CARD_WRITE] = guest_write,
	[CARD_HAS] = card_has,
	[CARD_SET] = card_set,
	[CARD_CAPS] = list_caps,
	[CARD_ECAPS] = list_caps,
	[CARD_MAPPED] = list_mapped,
	[CARD_FIRES] = fires,
	[CARD_WARNS] = warns,
	[CARD_QUIET] = quiet,
	[CARD_REFUSED] = refused,
};

static void play_card(void **state)
{
	struct play *p = calloc(1, sizeof(*p));
	const char *path = *state;
	unsigned errors;
	int ret;

	assert_non_null(p);
	ret = card_file_read(&p->file, path);
	if (ret)
		fail_msg("%s: %s", path, strerror(-ret));
	for (unsigned i = 0; !p->file.errors && i < p->file.n_steps; i++) {
		p->step = &p->file.step[i];
		if (p->step->verb == CARD_GUEST || !p->realized || p->step->verb == CARD_REFUSED)
			verbs[p->step->verb](p);
	}
	unplug(p);
	errors = p->file.errors + p->failures;
	free(p);
	if (errors)
		fail_msg("%s: %u", path, errors);
}

int main(int argc, char **argv)
{
	glob_t found = { 0 };
	struct CMUnitTest *tests;
	size_t n = 0;
	char **paths = argv + 1;

	if (argc > 1)
		n = (size_t)argc - 1;
	else if (!glob(CARDS, 0, NULL, &found))
		paths = found.gl_pathv, n = found.gl_pathc;
	if (!n) {
		fprintf(stderr, "no card: this runs in the tree's root, where " CARDS " are\n");
		return 1;
	}
	tests = calloc(n, sizeof(*tests));
	for (size_t i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){
			.name = paths[i], .test_func = play_card, .initial_state = paths[i]
		};
	n = (size_t)_cmocka_run_group_tests("cards", tests, n, NULL, NULL);
	free(tests);
	globfree(&found);
	return (int)n;
}

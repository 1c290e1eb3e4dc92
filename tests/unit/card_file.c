/* SPDX-License-Identifier: Apache-2.0 */
/* card_file.c - reading tests/cards/X.card; see card_file.h. */
#include "card_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/prop.h>

/* A line under way. */
struct reader {
	struct card_file *file;
	unsigned line;
	char *rest; /* of the line, behind the keyword, without comment */
	const char *comment;
};

static void __attribute__((format(printf, 2, 3))) wrong(struct reader *r, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s:%u: ", r->file->path, r->line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	r->file->errors++;
}

/* The next word of the line, NULL: there is none. */
static char *word(struct reader *r)
{
	char *start;

	while (isspace((unsigned char)*r->rest))
		r->rest++;
	start = r->rest;
	while (*r->rest && !isspace((unsigned char)*r->rest))
		r->rest++;
	if (*r->rest)
		*r->rest++ = '\0';
	return *start ? start : NULL;
}

static const char *skip_0x(const char *text)
{
	return text[0] == '0' && text[1] == 'x' ? text + 2 : text;
}

/* Hexadecimal, with or without 0x. */
static bool hex(const char *text, uint64_t *out)
{
	char *end;

	text = skip_0x(text);
	if (!isxdigit((unsigned char)*text))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 16);
	return !*end && !errno;
}

/* Hexadecimal digits of which x is any: for a value that is not known whole. */
static bool pattern(const char *text, uint64_t *value, uint64_t *mask)
{
	text = skip_0x(text);
	*value = *mask = 0;
	if (!*text || strlen(text) > 16)
		return false;
	for (; *text; text++) {
		char digit[2] = { *text, '\0' };

		if (*text != 'x' && !isxdigit((unsigned char)*text))
			return false;
		*value = *value << 4 | (*text == 'x' ? 0 : strtoull(digit, NULL, 16));
		*mask = *mask << 4 | (*text == 'x' ? 0 : 0xf);
	}
	return true;
}

/* "00: 86 80 d3 10 ...", as lspci -xxxx prints it; at any offset, and of up to 16 bytes. */
static void read_dump(struct reader *r, const char *offset)
{
	uint64_t at, byte;
	unsigned n = 0;
	char *next;

	if (!hex(offset, &at) || at >= PCI_CONFIG_SIZE) {
		wrong(r, "'%s' is no offset into config space", offset);
		return;
	}
	for (next = word(r); next; next = word(r), n++) {
		if (!hex(next, &byte) || byte > 0xff || n == 16 || at + n >= PCI_CONFIG_SIZE) {
			wrong(r, "'%s' is no byte of config space: two digits, 16 in a line", next);
			return;
		}
		r->file->config[at + n] = (uint8_t)byte;
	}
	if (at + n > r->file->config_end)
		r->file->config_end = (unsigned)(at + n);
}

static void rest_of_line(struct reader *r, char out[CARD_TEXT_MAX])
{
	while (isspace((unsigned char)*r->rest))
		r->rest++;
	snprintf(out, CARD_TEXT_MAX, "%s", r->rest);
	for (size_t n = strlen(out); n && isspace((unsigned char)out[n - 1]); n--)
		out[n - 1] = '\0';
}

static void read_title(struct reader *r)
{
	rest_of_line(r, r->file->title);
}

static void read_source(struct reader *r)
{
	char text[CARD_TEXT_MAX];

	rest_of_line(r, text);
	if (!*text)
		wrong(r, "'source' names where the facts are from");
	r->file->sourced = true;
}

static void read_size(struct reader *r)
{
	char *text = word(r);
	uint64_t size;

	if (!text || parse_u64(text, &size) || size < 64 || size > PCI_CONFIG_SIZE) {
		wrong(r, "'size' is what the kernel has of config space: 256 or 4096 bytes");
		return;
	}
	r->file->config_size = (unsigned)size;
}

/* "0".."5" or "rom". */
static int bar_index(const char *text)
{
	if (!strcmp(text, "rom"))
		return PCI_ROM;
	return text[0] >= '0' && text[0] <= '5' && !text[1] ? text[0] - '0' : -1;
}

static void read_bar(struct reader *r)
{
	char *name = word(r), *size = name ? word(r) : NULL, *how = size ? word(r) : NULL;
	int index = name ? bar_index(name) : -1;
	struct card_bar *bar = &r->file->bar[index < 0 ? 0 : index];

	if (index < 0 || !size || parse_size(size, 1, &bar->size)) {
		wrong(r, "a BAR is 'bar 0..5 SIZE [map|trap]' or 'bar rom SIZE'");
		return;
	}
	bar->map = how && !strcmp(how, "map");
	bar->trap = how && !strcmp(how, "trap");
	if (how && !bar->map && !bar->trap)
		wrong(r, "'%s': a BAR can be 'map' or 'trap'", how);
}

static void read_irq(struct reader *r)
{
	static const char *const names[] = { [VFIO_PCI_INTX_IRQ_INDEX] = "intx",
		[VFIO_PCI_MSI_IRQ_INDEX] = "msi",
		[VFIO_PCI_MSIX_IRQ_INDEX] = "msix" };
	char *name = word(r), *count = name ? word(r) : NULL;
	uint64_t n;

	for (unsigned i = 0; count && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) || parse_u64(count, &n) || n > MSIX_VECTORS_MAX)
			continue;
		r->file->irq[i] = (int)n;
		return;
	}
	wrong(r, "interrupts that the kernel offers are 'irq intx|msi|msix COUNT'");
}

static void read_no_reset(struct reader *r)
{
	r->file->no_reset = true;
}

static const struct {
	const char *keyword;
	void (*read)(struct reader *r);
} card_words[] = {
	{ "card", read_title },
	{ "source", read_source },
	{ "size", read_size },
	{ "bar", read_bar },
	{ "irq", read_irq },
	{ "noreset", read_no_reset },
};

/* "bar2+104.4", "rom+0.2", "68.4": where a register is, and its size in bytes. */
static bool read_where(struct card_step *step, char *text)
{
	char *dot = strrchr(text, '.'), *plus = strchr(text, '+');

	if (!dot || dot[2] || !strchr("1248", dot[1]) || !dot[1])
		return false;
	step->size = (unsigned)(dot[1] - '0');
	*dot = '\0';
	step->where = CARD_CONFIG;
	if (plus) {
		*plus = '\0';
		step->where = bar_index(!strncmp(text, "bar", 3) ? text + 3 : text);
		if (step->where < 0)
			return false;
		text = plus + 1;
	}
	return hex(text, &step->offset) && (plus || step->offset + step->size <= PCI_CONFIG_SIZE);
}

static void read_register(struct reader *r, struct card_step *step)
{
	char *where = word(r), *equals = where ? word(r) : NULL, *value = equals ? word(r) : NULL;
	char *reach = value ? word(r) : NULL;

	if (!value || strcmp(equals, "=") || !pattern(value, &step->value, &step->mask) ||
		!read_where(step, where)) {
		wrong(r, "a register is 'OFFSET.SIZE = VALUE', its BAR in front: bar2+104.4 = 1");
		return;
	}
	if (step->verb != CARD_READ && step->verb != CARD_HAS && strchr(skip_0x(value), 'x'))
		wrong(r, "'%s': x is for what is read", value);
	if (!reach)
		return;
	step->reach = !strcmp(reach, "reaches") ? CARD_REACHES : CARD_STAYS;
	if (step->verb != CARD_WRITE || (strcmp(reach, "reaches") && strcmp(reach, "stays")))
		wrong(r, "'%s': a write 'reaches' the card or 'stays' with us", reach);
}

static void read_text(struct reader *r, struct card_step *step)
{
	rest_of_line(r, step->text);
}

/* Without words any message would do. */
static void read_words(struct reader *r, struct card_step *step)
{
	rest_of_line(r, step->text);
	if (!*step->text)
		wrong(r, "'warns' and 'refused' have words of the message");
}

static void read_mapped(struct reader *r, struct card_step *step)
{
	char *name = word(r);

	step->where = name && !strncmp(name, "bar", 3) ? bar_index(name + 3) : -1;
	if (step->where < 0)
		wrong(r, "what is mapped is 'mapped bar0 0-fff 3000-ffff', or 'none'");
	rest_of_line(r, step->text);
}

static void read_vector(struct reader *r, struct card_step *step)
{
	char *text = word(r);

	if (!text || parse_u64(text, &step->value) || step->value >= MSIX_VECTORS_MAX)
		wrong(r, "'fires' has the number of a vector, 0 for INTx");
}

static const struct {
	const char *keyword;
	enum card_verb verb;
	void (*read)(struct reader *r, struct card_step *step);
} step_words[] = {
	{ "guest", CARD_GUEST, read_text },
	{ "read", CARD_READ, read_register },
	{ "write", CARD_WRITE, read_register },
	{ "has", CARD_HAS, read_register },
	{ "set", CARD_SET, read_register },
	{ "caps", CARD_CAPS, read_text },
	{ "ecaps", CARD_ECAPS, read_text },
	{ "mapped", CARD_MAPPED, read_mapped },
	{ "fires", CARD_FIRES, read_vector },
	{ "warns", CARD_WARNS, read_words },
	{ "quiet", CARD_QUIET, read_text },
	{ "refused", CARD_REFUSED, read_words },
};

static bool read_step(struct reader *r, const char *keyword)
{
	struct card_file *file = r->file;
	struct card_step *step = &file->step[file->n_steps];

	for (unsigned i = 0; i < sizeof(step_words) / sizeof(step_words[0]); i++) {
		if (strcmp(keyword, step_words[i].keyword))
			continue;
		if (file->n_steps == CARD_STEPS_MAX) {
			wrong(r, "a card has at most %u steps", CARD_STEPS_MAX);
			return true;
		}
		if (!file->n_steps && step_words[i].verb != CARD_GUEST)
			wrong(r, "'%s' stands behind a 'guest' line", keyword);
		*step = (struct card_step){ .line = r->line, .verb = step_words[i].verb };
		snprintf(step->comment, sizeof(step->comment), "%s", r->comment);
		step_words[i].read(r, step);
		file->n_steps++;
		return true;
	}
	return false;
}

static void read_line(struct reader *r, char *text)
{
	char *comment = strchr(text, '#'), *keyword, *colon;

	text[strcspn(text, "\n")] = '\0';
	r->comment = "";
	if (comment) {
		*comment++ = '\0';
		r->comment = comment + strspn(comment, " \t");
	}
	r->rest = text;
	keyword = word(r);
	if (!keyword)
		return;
	colon = strchr(keyword, ':');
	if (colon && !colon[1]) {
		*colon = '\0';
		read_dump(r, keyword);
		return;
	}
	for (unsigned i = 0; i < sizeof(card_words) / sizeof(card_words[0]); i++) {
		if (!strcmp(keyword, card_words[i].keyword)) {
			card_words[i].read(r);
			return;
		}
	}
	if (!read_step(r, keyword))
		wrong(r, "'%s' is no word of a card: see tests/cards/README.md", keyword);
}

int card_file_read(struct card_file *file, const char *path)
{
	struct reader r = { .file = file };
	FILE *in = fopen(path, "re");
	char *text = NULL;
	size_t room = 0;

	if (!in)
		return -errno;
	memset(file, 0, sizeof(*file));
	file->path = path;
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		file->irq[i] = -1;
	while (getline(&text, &room, in) >= 0) {
		r.line++;
		read_line(&r, text);
	}
	free(text);
	fclose(in);
	if (!*file->title || !file->sourced || !file->config_end || !file->n_steps)
		wrong(&r, "a card has a 'card' line, a 'source', config space and a 'guest'");
	return 0;
}

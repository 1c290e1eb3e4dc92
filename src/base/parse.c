/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - text to numbers and addresses, all of the text or nothing.
 *
 * strtoul() and sscanf() are not used: they skip blanks, take signs and stop early, and every one
 * of these would be a typing mistake here.
 */
#include <portcullis/prop.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Leading digits of text; *end is what follows them. -EINVAL: none; -ERANGE: too large. */
static int digits(const char *text, unsigned base, uint64_t *out, const char **end)
{
	const char *at = text;
	uint64_t value = 0;
	bool overflow = false;

	for (; (unsigned)digit_value(*at) < base; at++)
		if (__builtin_mul_overflow(value, base, &value) ||
			__builtin_add_overflow(value, (uint64_t)digit_value(*at), &value))
			overflow = true;
	if (at == text)
		return -EINVAL;
	*end = at;
	*out = value;
	return overflow ? -ERANGE : 0;
}

static bool is_hex(const char *text)
{
	return text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
}

static int number(const char *text, uint64_t *out, const char **end)
{
	return is_hex(text) ? digits(text + 2, 16, out, end) : digits(text, 10, out, end);
}

int parse_u64(const char *text, uint64_t *out)
{
	const char *end;
	uint64_t value;
	int ret = number(text, &value, &end);

	if (ret == -EINVAL || *end)
		return -EINVAL;
	if (ret < 0)
		return ret;
	*out = value;
	return 0;
}

int parse_size(const char *text, uint64_t unit, uint64_t *out)
{
	static const char suffixes[] = "BKMGTP";
	const char *end, *suffix;
	uint64_t value;
	int ret = number(text, &value, &end);

	if (ret == -EINVAL)
		return ret;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return -EINVAL;
		unit = 1ull << (10 * (suffix - suffixes));
	}
	if (ret < 0 || __builtin_mul_overflow(value, unit, &value))
		return -ERANGE;
	*out = value;
	return 0;
}

/* A hexadecimal field of at most `most` digits, followed by `after`; steps over both. */
static int hex_field(const char **at, unsigned most, char after, uint64_t max, uint64_t *out)
{
	const char *end;
	int ret = digits(*at, 16, out, &end);

	if (ret < 0 || end - *at > (ptrdiff_t)most || *out > max || *end != after)
		return -EINVAL;
	*at = end + (after != '\0');
	return 0;
}

int parse_range(char *text, uint64_t *first, uint64_t *last)
{
	char *dash = strchr(text, '-');
	int ret;

	if (dash)
		*dash++ = '\0';
	ret = parse_u64(text, first);
	if (!ret)
		ret = parse_u64(dash ? dash : text, last);
	return !ret && *last < *first ? -EINVAL : ret;
}

int parse_bdf(const char *text, struct host_bdf *out)
{
	const char *first = strchr(text, ':');
	uint64_t domain = 0, bus, slot, function;

	/* Domains have four digits, or more for devices behind Intel VMD. */
	if (first && strchr(first + 1, ':') && hex_field(&text, 8, ':', UINT32_MAX, &domain) < 0)
		return -EINVAL;
	if (hex_field(&text, 2, ':', 0xff, &bus) < 0 || hex_field(&text, 2, '.', 0x1f, &slot) < 0 ||
		hex_field(&text, 1, '\0', 7, &function) < 0)
		return -EINVAL;
	*out = (struct host_bdf){
		.set = true,
		.domain = (uint32_t)domain,
		.bus = (uint8_t)bus,
		.slot = (uint8_t)slot,
		.function = (uint8_t)function,
	};
	return 0;
}

const char *host_bdf_format(const struct host_bdf *bdf, char buf[static HOST_BDF_STRLEN])
{
	snprintf(buf, HOST_BDF_STRLEN, "%04x:%02x:%02x.%x", bdf->domain, bdf->bus, bdf->slot,
		bdf->function);
	return buf;
}

int parse_pci_ids(const char *text, struct pci_ids *out)
{
	uint64_t id[4] = { 0 };
	unsigned n = 1;

	for (const char *c = text; *c; c++)
		n += *c == ':';
	if (n != 2 && n != 4)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		if (hex_field(&text, 4, i + 1 < n ? ':' : '\0', 0xffff, &id[i]) < 0)
			return -EINVAL;
	*out = (struct pci_ids){
		.set = true,
		.has_sub = n == 4,
		.vendor = (uint16_t)id[0],
		.device = (uint16_t)id[1],
		.subvendor = (uint16_t)id[2],
		.subdevice = (uint16_t)id[3],
	};
	return 0;
}

const char *pci_ids_format(const struct pci_ids *ids, char buf[static PCI_IDS_STRLEN])
{
	int n = snprintf(buf, PCI_IDS_STRLEN, "%04x:%04x", ids->vendor, ids->device);

	if (ids->has_sub)
		snprintf(buf + n, PCI_IDS_STRLEN - (size_t)n, ":%04x:%04x", ids->subvendor,
			ids->subdevice);
	return buf;
}

/* One of the two numbers of SLOT[.FN]; hexadecimal with or without 0x. */
static int devfn_field(const char **at, uint64_t max, uint64_t *out)
{
	const char *end;

	if (is_hex(*at))
		*at += 2;
	if (digits(*at, 16, out, &end) < 0 || *out > max)
		return -EINVAL;
	*at = end;
	return 0;
}

int parse_devfn(const char *text, int32_t *out)
{
	uint64_t slot, function = 0;

	if (devfn_field(&text, 0x1f, &slot) < 0)
		return -EINVAL;
	if (*text == '.') {
		text++;
		if (devfn_field(&text, 7, &function) < 0)
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	*out = (int32_t)(slot << 3 | function);
	return 0;
}

static const char uuid_shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

int parse_uuid(const char *text, struct uuid *out)
{
	struct uuid uuid = { .set = true };
	unsigned digit = 0;

	for (const char *shape = uuid_shape; *shape; shape++, text++) {
		int value = digit_value(*text);

		if (*shape == '-' ? *text != '-' : value > 15)
			return -EINVAL;
		if (*shape == '-')
			continue;
		uuid.byte[digit / 2] = (uint8_t)(uuid.byte[digit / 2] << 4 | value);
		digit++;
	}
	if (*text)
		return -EINVAL;
	*out = uuid;
	return 0;
}

const char *uuid_format(const uint8_t byte[static UUID_SIZE], char buf[static UUID_STRLEN])
{
	unsigned at = 0;

	for (unsigned i = 0; i < UUID_SIZE; i++) {
		if (uuid_shape[at] == '-')
			buf[at++] = '-';
		at += (unsigned)snprintf(buf + at, UUID_STRLEN - at, "%02x", byte[i]);
	}
	return buf;
}

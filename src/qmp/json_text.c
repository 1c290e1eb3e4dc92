/* SPDX-License-Identifier: Apache-2.0 */
/* json_text.c - what of a string is text: UTF-8, and escapes that stand for characters. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define ESCAPE_LEN 6 /* of \uXXXX */

size_t json_utf8_length(const unsigned char *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80) /* ends at the terminating NUL, too */
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

bool json_utf8_valid(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		size_t len = json_utf8_length(s);

		if (!len)
			return false;
		s += len;
	}
	return true;
}

/* The code unit of a \uXXXX at text, 0 if there is none. */
static unsigned long code_unit(const char *text, size_t len)
{
	char digits[5] = "";

	if (len < ESCAPE_LEN || text[0] != '\\' || text[1] != 'u')
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)text[2 + i]))
			return 0;
		digits[i] = text[2 + i];
	}
	return strtoul(digits, NULL, 16);
}

static bool is_high(unsigned long unit)
{
	return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(unsigned long unit)
{
	return unit >= 0xdc00 && unit < 0xe000;
}

bool json_surrogates_paired(const char *text, size_t len)
{
	for (size_t i = 0; i + ESCAPE_LEN <= len; i++) {
		unsigned long unit;

		if (text[i] != '\\')
			continue;
		unit = code_unit(text + i, len - i);
		if (is_low(unit))
			return false;
		if (is_high(unit)) {
			i += ESCAPE_LEN;
			if (!is_low(code_unit(text + i, len - i)))
				return false;
		}
		i++; /* what was escaped may be a backslash */
	}
	return true;
}

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

uint32_t json_utf8_character(const unsigned char *s, size_t len)
{
	static const unsigned char first[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = s[0] & first[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | (s[i] & 0x3f);
	return c;
}

size_t json_plain_quotes(const char *text, size_t len, char *out)
{
	char *start = out, quote = '\0'; /* of the string we are in */

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (quote && c == '\\' && i + 1 < len) {
			if (text[++i] != '\'')
				*out++ = '\\';
			*out++ = text[i];
		} else if (c == quote || (!quote && (c == '\'' || c == '"'))) {
			quote = quote ? '\0' : c;
			*out++ = '"';
		} else {
			if (quote && c == '"')
				*out++ = '\\';
			*out++ = c;
		}
	}
	return (size_t)(out - start);
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

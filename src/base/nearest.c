/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.c - "did you mean": the word of a list that a mistyped one was meant to be. */
#include <portcullis/prop.h>

#include <ctype.h>
#include <string.h>

#define WORD_MAX 40

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap neighbours) that make b of a; both at most WORD_MAX long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	unsigned la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

	for (unsigned j = 0; j <= lb; j++)
		last[j] = j;
	for (unsigned i = 1; i <= la; i++) {
		unsigned *spare = before;

		row[0] = i;
		for (unsigned j = 1; j <= lb; j++) {
			char ca = (char)tolower((unsigned char)a[i - 1]);
			char cb = (char)tolower((unsigned char)b[j - 1]);

			row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = last;
		last = row;
		row = spare;
	}
	return last[lb];
}

const char *nearest_word(const char *word, const char *const *list)
{
	size_t len = strlen(word);
	/* A third of the word may be wrong; short words would match anything. */
	unsigned best = (unsigned)len / 3 + 1;
	const char *found = NULL;

	if (len < 2 || len > WORD_MAX)
		return NULL;
	for (; *list; list++) {
		unsigned d;

		if (strlen(*list) > WORD_MAX)
			continue;
		d = distance(word, *list);
		if (d < best || (d == best && !found)) {
			best = d;
			found = *list;
		}
	}
	return found;
}

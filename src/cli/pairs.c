/* SPDX-License-Identifier: Apache-2.0 */
/* pairs.c - what handlers share: "key=value" lists, complaints, growing arrays. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define KEYS_MAX 32

int option_error(struct parse *p, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return err_set(p->err, EINVAL, "option '-%s': %s", p->option->name, text);
}

int out_of_memory(struct parse *p)
{
	return err_set(p->err, ENOMEM, "no memory for the command line");
}

void *array_grow(struct parse *p, void *array, unsigned *n, size_t size)
{
	char *grown = realloc(array, (*n + 1) * size);

	if (!grown) {
		out_of_memory(p);
		return NULL;
	}
	memset(grown + *n * size, 0, size);
	++*n;
	return grown;
}

int copy_string(struct parse *p, char **out, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return out_of_memory(p);
	free(*out);
	*out = copy;
	return 0;
}

/* Bare words: the implied key's value, a switch put on, or one of QEMU's "no" words. */
static void complete_pair(const char *implied, bool first, const char **key, const char **value)
{
	if (*value)
		return;
	if (first && implied) {
		*value = *key;
		*key = implied;
	} else if (!strcmp(*key, "nowait") || !strcmp(*key, "noserver")) {
		*key += 2;
		*value = "off";
	} else {
		*value = "on";
	}
}

static int handle_pair(struct parse *p, const char *key, const char *value, const char **seen,
	unsigned *n_seen, pair_fn fn, void *opaque)
{
	if (!*key)
		return option_error(p, "a name is missing before '='");
	if (!*value && !p->option->may_be_empty)
		return option_error(p, "'%s' has no value", key);
	for (unsigned i = 0; i < *n_seen; i++)
		if (!strcmp(seen[i], key) &&
			(!p->option->repeats || strcmp(key, p->option->repeats) != 0))
			return option_error(p, "'%s' is given twice", key);
	if (*n_seen == KEYS_MAX)
		return option_error(p, "too many words");
	seen[(*n_seen)++] = key;
	return fn(p, key, value, opaque);
}

int option_pairs(struct parse *p, const char *text, const char *implied, pair_fn fn, void *opaque)
{
	char *copy = NULL, *cursor, *word, *after;
	const char *seen[KEYS_MAX], *key, *value;
	unsigned n_seen = 0;
	bool first = true;
	int ret;

	ret = copy_string(p, &copy, text);
	if (ret < 0)
		return ret;
	cursor = copy;
	while (!ret && (word = prop_next_pair(&cursor, &after))) {
		if (!*word && !after) {
			ret = option_error(p, "a word is missing in '%s'", text);
			break;
		}
		key = word;
		value = after;
		complete_pair(implied, first, &key, &value);
		ret = handle_pair(p, key, value, seen, &n_seen, fn, opaque);
		first = false;
	}
	free(copy);
	return ret;
}

int unknown_key(struct parse *p, const char *key, const char *const *list)
{
	const char *near = nearest_word(key, list);
	int ret = option_error(p, "it has no '%s'", key);

	if (near) {
		err_hint(p->err, "did you mean '%s'?", near);
		return ret;
	}
	err_hint(p->err, "'-help' describes what it takes");
	return ret;
}

/* Is word one of the "|"-separated words? */
static bool among(const char *words, const char *word)
{
	size_t len = strlen(word);

	while (words) {
		const char *end = strchrnul(words, '|');

		if ((size_t)(end - words) == len && !memcmp(words, word, len))
			return true;
		words = *end ? end + 1 : NULL;
	}
	return false;
}

int moot_pair(struct parse *p, const char *key, const char *value, const struct moot *table)
{
	const char *keys[KEYS_MAX + 1];
	unsigned n = 0;

	for (; table->key; table++) {
		if (!strcmp(table->key, key)) {
			if (!table->values || among(table->values, value))
				return 0;
			return option_error(
				p, "'%s' can only be %s here, not '%s'", key, table->values, value);
		}
		if (n < KEYS_MAX)
			keys[n++] = table->key;
	}
	keys[n] = NULL;
	return unknown_key(p, key, keys);
}

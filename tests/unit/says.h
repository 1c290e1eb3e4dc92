/* SPDX-License-Identifier: Apache-2.0 */
/*
 * says.h - an assertion about a message: it contains these words. If not, both are told.
 *
 * Use:   behind cmocka.h.
 */
#ifndef TESTS_SAYS_H
#define TESTS_SAYS_H

#include <string.h>

#define assert_says(text, words)                                                                   \
	do {                                                                                       \
		const char *text_ = (text), *words_ = (words);                                     \
                                                                                                   \
		if (!strstr(text_, words_))                                                        \
			fail_msg("'%s' does not say '%s'", text_, words_);                         \
	} while (0)

#endif

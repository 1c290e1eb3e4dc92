/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - one machine from start to end. (tests/hostile) */
#ifndef TESTS_HOSTILE_MACHINE_H
#define TESTS_HOSTILE_MACHINE_H

#include "hostile.h"

void machine_life(const struct plan *plan);

#endif

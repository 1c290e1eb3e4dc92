/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_of.h - from a member that was handed out (mail, a timer, an operation) to its object.
 *
 * Layer: L0, includes nothing of ours.
 */
#ifndef PORTCULLIS_CONTAINER_OF_H
#define PORTCULLIS_CONTAINER_OF_H

#include <stddef.h>

/* The pointer's type is checked against the member's. */
#define container_of(pointer, type, member)                                                        \
	((type *)(void *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif

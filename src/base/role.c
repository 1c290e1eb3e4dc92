/* SPDX-License-Identifier: Apache-2.0 */
/*
 * role.c - the objects that the role marks of role.h name, which nobody reads or writes, and what
 * each thread says it is.
 */
#include <portcullis/role.h>

struct role role_main, role_vcpu, role_worker;

#if DEBUG_CHECKS
static __thread enum role_kind own;

void role_begin(enum role_kind kind)
{
	own = kind;
}

void role_check(enum role_kind kind)
{
	debug_check(own == ROLE_ANY || own == kind, "role.h: a function is another thread's");
}
#endif

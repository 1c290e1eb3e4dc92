/* SPDX-License-Identifier: Apache-2.0 */
/* role.c - the objects that the role marks of role.h name. Nobody reads or writes them. */
#include <portcullis/role.h>

struct role role_main, role_vcpu, role_worker;

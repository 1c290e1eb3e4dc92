/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c - vf-token: a physical function that is bound to vfio-pci itself and its virtual functions
 * are opened with the same UUID, so that nobody has a part of a card whose rest he does not know.
 */
#include <errno.h>
#include <stdio.h>

#include <portcullis/err.h>

#include "context.h"

void vfio_token_name(const struct vfio_attachment *attachment, char out[static VFIO_TOKEN_NAME_MAX])
{
	const struct uuid *token = &attachment->token;
	char text[UUID_STRLEN];

	/* Linux' vfio_pci_core_match() */
	snprintf(out, VFIO_TOKEN_NAME_MAX, "%s%s%s", attachment->facts.device.name,
		token->set ? " vf_token=" : "", token->set ? uuid_format(token->byte, text) : "");
}

/* What the kernel compares is who came first: the physical function, unless a virtual one is in use. */
static int refused(const struct vfio_attachment *attachment, struct err *err)
{
	const char *name = attachment->facts.device.name;
	const char *fault = attachment->token.set ? "another vf-token than this" : "a vf-token";
	const struct vfio_sysfs_device *physical = &attachment->facts.physical;

	if (physical->name[0]) {
		err_set(err, EACCES,
			"'%s' is a virtual function of '%s', which is bound to %s and wants %s",
			name, physical->name, physical->driver[0] ? physical->driver : "vfio-pci",
			fault);
		err_hint(err,
			"open '%s' first and give both the same vf-token=UUID (uuidgen makes one), or bind '%s' to its own driver",
			physical->name, physical->name);
	} else {
		err_set(err, EACCES, "'%s' has virtual functions in use and wants %s", name, fault);
		err_hint(err, "give it the vf-token=UUID that they were opened with");
	}
	return -EACCES;
}

/* A token that the kernel has no use for is an error to it. 0: it is none. */
static int unwanted(const struct vfio_attachment *attachment, struct err *err)
{
	const char *name = attachment->facts.device.name;
	const struct vfio_sysfs_device *physical = &attachment->facts.physical;

	if (physical->name[0]) {
		if (attachment->facts.physical_is_vfio)
			return 0;
		err_set(err, EINVAL,
			"'%s' takes no vf-token: its physical function '%s' is not bound to vfio-pci but to %s",
			name, physical->name, physical->driver[0] ? physical->driver : "no driver");
	} else {
		if (attachment->facts.may_have_virtual)
			return 0;
		err_set(err, EINVAL,
			"'%s' takes no vf-token: it neither has virtual functions nor is one",
			name);
	}
	err_hint(err, "leave vf-token out");
	return -EINVAL;
}

int vfio_token_error(const struct vfio_attachment *attachment, int code, struct err *err)
{
	if (code == EACCES)
		return refused(attachment, err);
	return code == EINVAL && attachment->token.set ? unwanted(attachment, err) : 0;
}

int vfio_token_bind_error(const struct vfio_attachment *attachment, int code, struct err *err)
{
	int ret = vfio_token_error(attachment, code, err);

	/* E2BIG: Linux 6.17 has the field, and takes only zero for it. */
	if (ret || !attachment->token.set || (code != EINVAL && code != E2BIG))
		return ret;
	err_set(err, ENOTSUP, "the kernel does not take the vf-token of '%s' with iommufd",
		attachment->facts.device.name);
	err_hint(err,
		"Linux 6.18 does; until then leave iommufd out, or vf-token: before Linux 6.17 none is asked for with iommufd");
	return -ENOTSUP;
}

int vfio_token_check(const struct vfio_attachment *attachment, struct err *err)
{
	if (!attachment->token.set || attachment->facts.device.pci)
		return 0;
	err_set(err, EINVAL, "'%s' takes no vf-token: it is a mediated device",
		attachment->facts.device.name);
	err_hint(err, "leave vf-token out");
	return -EINVAL;
}

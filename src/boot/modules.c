/* SPDX-License-Identifier: Apache-2.0 */
/* modules.c - the files of -initrd that a Multiboot kernel gets as its modules. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#define PAGE 4096u

struct file {
	uint8_t *data;
	size_t size;
};

/*
 * Cuts the next item off *list; ",," is a comma of its own. The caller frees it; NULL: no memory.
 */
static char *next_item(const char **list)
{
	char *item = malloc(strlen(*list) + 1), *to = item;
	const char *at = *list;

	if (!item)
		return NULL;
	for (; *at && (*at != ',' || at[1] == ','); at++) {
		if (*at == ',')
			at++;
		*to++ = *at;
	}
	*to = '\0';
	*list = *at ? at + 1 : NULL;
	return item;
}

static int read_one(
	struct boot_module *module, struct file_limit limit, struct file *file, struct err *err)
{
	char *path = strndup(module->text, strcspn(module->text, " "));
	int ret;

	if (!path)
		return err_set(err, ENOMEM, "no memory for the name of a module");
	if (!*path)
		ret = err_set(err, EINVAL, "-initrd: a module's file name is missing");
	else
		ret = file_read(path, "module", limit, &file->data, &file->size, err);
	module->size = file->size;
	free(path);
	return ret;
}

static int read_all(struct boot_image *image, const char *list, struct file_limit limit,
	struct file file[], struct err *err)
{
	size_t texts = 0;

	while (list) {
		struct boot_module *module = &image->module[image->n_modules];
		int ret;

		if (image->n_modules == BOOT_MODULES_MAX)
			return err_set(
				err, E2BIG, "-initrd: more than %d modules", BOOT_MODULES_MAX);
		module->text = next_item(&list);
		if (!module->text)
			return err_set(err, ENOMEM, "no memory for the name of a module");
		image->n_modules++;
		texts += strlen(module->text) + 1;
		if (texts > BOOT_MODULE_TEXTS_SIZE)
			return err_set(err, E2BIG,
				"-initrd: names and arguments of the modules have more than %u bytes",
				BOOT_MODULE_TEXTS_SIZE);
		ret = read_one(module, limit, &file[image->n_modules - 1], err);
		if (ret < 0)
			return ret;
		limit.max -= module->size;
		limit.why = "the guest's memory has beside the modules before it";
	}
	return 0;
}

/* One behind the other, each on pages of its own. */
static int join(struct boot_image *image, const struct file file[], struct err *err)
{
	size_t size = 0;
	void *memory;
	int ret;

	for (unsigned i = 0; i < image->n_modules; i++) {
		image->module[i].start = size;
		size += (file[i].size + PAGE - 1) & ~(size_t)(PAGE - 1);
	}
	ret = sys_mmap(
		NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &memory);
	if (ret < 0)
		return err_set_errno(err, -ret, "no memory for modules of %zu bytes", size);
	image->initrd = memory;
	image->initrd_size = size;
	for (unsigned i = 0; i < image->n_modules; i++)
		memcpy(image->initrd + image->module[i].start, file[i].data, file[i].size);
	return 0;
}

int modules_read(
	struct boot_image *image, const char *list, struct file_limit limit, struct err *err)
{
	struct file file[BOOT_MODULES_MAX] = { { NULL, 0 } };
	int ret = read_all(image, list, limit, file, err);

	if (ret == 0)
		ret = join(image, file, err);
	for (unsigned i = 0; i < BOOT_MODULES_MAX; i++)
		if (file[i].data)
			sys_munmap(file[i].data, file[i].size);
	return ret;
}

void modules_release(struct boot_image *image)
{
	for (unsigned i = 0; i < image->n_modules; i++)
		free(image->module[i].text);
	image->n_modules = 0;
}

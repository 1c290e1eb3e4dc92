/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - the option table as text, as a man page and as docs/cli.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/version.h>

#include "cli.h"

#define TEXT_COLUMNS 80
#define TEXT_INDENT 8

static const char purpose[] =
	"portcullis runs a virtual machine on Linux/KVM and hands it physical PCI devices with VFIO: cold-plugged with -device, hot-plugged and taken back through QMP while everything runs.";

static const struct {
	const char *what;
	const char *lines[4];
} examples[] = {
	{ "A guest with a network card of the host, console on this terminal",
		{ "portcullis -m 2G -smp 4 -kernel vmlinuz -initrd initrd.img \\",
			"  -append console=ttyS0 -serial stdio \\",
			"  -device vfio-pci,host=0000:1a:00.3,id=net,bus=pcie.0,addr=0x03.0x0" } },
	{ "A guest with an empty slot for hot plug, in the background, controlled by QMP",
		{ "portcullis -m 2G -kernel vmlinuz -initrd initrd.img -serial none \\",
			"  -device pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1 \\",
			"  -qmp unix:/run/vm.qmp,server,nowait -pidfile /run/vm.pid -daemonize" } },
	{ "Giving a device to vfio-pci first (as root)",
		{ "modprobe vfio-pci; cd /sys/bus/pci/devices/0000:1a:00.3",
			"echo vfio-pci > driver_override; echo 0000:1a:00.3 > driver/unbind",
			"echo 0000:1a:00.3 > /sys/bus/pci/drivers_probe" } },
};
#define EXAMPLES (sizeof(examples) / sizeof(examples[0]))

/* Words of text, wrapped behind an indent. */
static void put_wrapped(FILE *out, const char *text, unsigned indent)
{
	unsigned column = 0;

	while (*text) {
		unsigned len = (unsigned)strcspn(text, " ");

		if (column && column + 1 + len > TEXT_COLUMNS) {
			fputc('\n', out);
			column = 0;
		}
		if (column)
			column += (unsigned)fprintf(out, " %.*s", (int)len, text);
		else
			column = (unsigned)fprintf(out, "%*s%.*s", (int)indent, "", (int)len, text);
		text += len;
		text += *text == ' ';
	}
	fputc('\n', out);
}

static void plain(FILE *out)
{
	fputs("Usage: portcullis -kernel FILE [OPTION]...\n\n", out);
	put_wrapped(out, purpose, 0);
	for (unsigned g = 0; g < GROUPS; g++) {
		fprintf(out, "\n%s:\n", group_titles[g]);
		for (const struct option *o = options; o->name; o++) {
			if (o->group != g || !o->help)
				continue;
			fprintf(out, "  -%s%s%s\n", o->name, o->arg ? " " : "",
				o->arg ? o->arg : "");
			put_wrapped(out, o->help, TEXT_INDENT);
		}
	}
	fputs("\nExamples:\n", out);
	for (unsigned i = 0; i < EXAMPLES; i++) {
		fprintf(out, "\n  %s:\n\n", examples[i].what);
		for (unsigned l = 0; examples[i].lines[l]; l++)
			fprintf(out, "    %s\n", examples[i].lines[l]);
	}
}

/* roff reads '-' as a hyphen, '\' as an escape, and '.' and ''' at a line's start as requests. */
static void put_roff(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			fprintf(out, "\\%c", *text == '-' ? '-' : 'e');
		else if (*text == '\'')
			fputs("\\(aq", out);
		else if (*text == '.')
			fputs("\\&.", out);
		else
			fputc(*text, out);
	}
}

static void man(FILE *out)
{
	fprintf(out,
		".\\\" Made from the option table by \"portcullis -help-man\".\n"
		".TH PORTCULLIS 1 \"\" \"portcullis %s\" \"\"\n.SH NAME\n"
		"portcullis \\- virtual machine monitor for PCI passthrough\n.SH SYNOPSIS\n"
		".B portcullis \\-kernel\n.I FILE\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n",
		PORTCULLIS_VERSION);
	put_roff(out, purpose);
	fputs("\n.SH OPTIONS\n", out);
	for (unsigned g = 0; g < GROUPS; g++) {
		fprintf(out, ".SS \"%s\"\n", group_titles[g]);
		for (const struct option *o = options; o->name; o++) {
			if (o->group != g || !o->help)
				continue;
			fputs(".TP\n\\fB\\-", out);
			put_roff(out, o->name);
			fputs("\\fR", out);
			if (o->arg) {
				fputc(' ', out);
				put_roff(out, o->arg);
			}
			fputc('\n', out);
			put_roff(out, o->help);
			fputc('\n', out);
		}
	}
	fputs(".SH EXAMPLES\n", out);
	for (unsigned i = 0; i < EXAMPLES; i++) {
		fputs(".PP\n", out);
		put_roff(out, examples[i].what);
		fputs(":\n.PP\n.nf\n", out);
		for (unsigned l = 0; examples[i].lines[l]; l++) {
			put_roff(out, examples[i].lines[l]);
			fputc('\n', out);
		}
		fputs(".fi\n", out);
	}
}

static void markdown_types(FILE *out, const struct type_list *list)
{
	char props[16384];

	for (unsigned i = 0; list->types[i]; i++) {
		props_help(list->types[i], props, sizeof(props));
		fprintf(out, "\n## -%s %s\n\n%s:\n\n```\n%s```\n", list->noun, list->types[i]->name,
			list->types[i]->help, props);
	}
}

static void markdown(FILE *out)
{
	fprintf(out,
		"# Command line\n\n<!-- Made by `portcullis -help-markdown`: change src/cli/table.c or a device's property table. -->\n\n%s\n\n    portcullis -kernel FILE [OPTION]...\n",
		purpose);
	for (unsigned g = 0; g < GROUPS; g++) {
		fprintf(out, "\n## %s\n\n", group_titles[g]);
		for (const struct option *o = options; o->name; o++)
			if (o->group == g && o->help)
				fprintf(out, "- `-%s%s%s`  \n  %s\n", o->name, o->arg ? " " : "",
					o->arg ? o->arg : "", o->help);
	}
	markdown_types(out, &device_list);
	markdown_types(out, &object_list);
	fputs("\n## Examples\n", out);
	for (unsigned i = 0; i < EXAMPLES; i++) {
		fprintf(out, "\n%s:\n\n", examples[i].what);
		for (unsigned l = 0; examples[i].lines[l]; l++)
			fprintf(out, "    %s\n", examples[i].lines[l]);
	}
}

static int make(struct parse *p, void (*write_to)(FILE *out))
{
	size_t size = 0;
	FILE *out = open_memstream(&p->text, &size);

	if (!out)
		return out_of_memory(p);
	write_to(out);
	if (fclose(out) == 0 && p->text)
		return 0;
	free(p->text);
	p->text = NULL;
	return out_of_memory(p);
}

int opt_help(struct parse *p, const char *value)
{
	(void)value;
	return make(p, plain);
}

int opt_help_man(struct parse *p, const char *value)
{
	(void)value;
	return make(p, man);
}

int opt_help_markdown(struct parse *p, const char *value)
{
	(void)value;
	return make(p, markdown);
}

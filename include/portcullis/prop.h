/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prop.h - one property table per device type; every way in and every help text is read from it.
 *
 * Layer: L0. Any thread. Strings and fds in an options object are its own.
 * Owner: one, from the command line or a QMP command to the device. Who is handed options that are
 *        not const takes them in every case, also when it fails, and ends them with props_free().
 *        Who needs an fd of theirs for longer moves it out (prop_take_fd()); the rest is closed.
 * Ways in: "-device TYPE,key=value,..." and the members of a QMP device_add/object-add. Both end in
 *        prop_set(). A value comes as string, integer or boolean and is converted to the property's
 *        type, so JSON 3, "3" and "0x3" are the same.
 * Errors: -EINVAL with text naming type, property, value and what would be right; an unknown name
 *        suggests the nearest one.
 */
#ifndef PORTCULLIS_PROP_H
#define PORTCULLIS_PROP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct closer;
struct err;

enum prop_kind {
	PROP_STRING,	  /* char *, NULL when unset */
	PROP_BOOL,	  /* bool: on|off, true|false, yes|no, 1|0 */
	PROP_ON_OFF_AUTO, /* enum on_off_auto: what a bool takes, or "auto" */
	PROP_UINT,	  /* uint64_t within [min, max] */
	PROP_SIZE,   /* uint64_t bytes within [min, max], suffix B K M G T P (powers of 1024) */
	PROP_BDF,    /* struct host_bdf: [DDDD:]BB:DD.F, hexadecimal */
	PROP_DEVFN,  /* int32_t: SLOT[.FN], hex with or without 0x, slot << 3 | fn; -1 when unset */
	PROP_CHOICE, /* int32_t index into choices */
	PROP_PCI_IDS, /* struct pci_ids: VENDOR:DEVICE[:SUBVENDOR:SUBDEVICE], hexadecimal */
	PROP_UUID,    /* struct uuid */
	PROP_FD,      /* int: number of an open file, the object's from now on; -1 when unset */
};

/* QEMU's OnOffAuto: whether somebody said so may matter. */
enum on_off_auto { ON_OFF_AUTO, ON_OFF_ON, ON_OFF_OFF };

struct host_bdf {
	bool set;
	uint32_t domain;
	uint8_t bus, slot, function;
};
#define HOST_BDF_STRLEN 24
/* "0000:1a:00.3" */
const char *host_bdf_format(const struct host_bdf *bdf, char buf[static HOST_BDF_STRLEN]);

/* What a PCI device says it is. */
struct pci_ids {
	bool set, has_sub; /* has_sub: the subsystem is known, or matters */
	uint16_t vendor, device, subvendor, subdevice;
};
#define PCI_IDS_STRLEN 24
/* "8086:10d3" or "8086:10d3:8086:a01f" */
const char *pci_ids_format(const struct pci_ids *ids, char buf[static PCI_IDS_STRLEN]);

/* Bytes in the order in which text has them (RFC 4122). */
#define UUID_SIZE 16
struct uuid {
	bool set;
	uint8_t byte[UUID_SIZE];
};
#define UUID_STRLEN 37
/* "12345678-1234-1234-1234-123456789abc" */
const char *uuid_format(const uint8_t byte[static UUID_SIZE], char buf[static UUID_STRLEN]);

struct prop {
	const char *name;
	enum prop_kind kind;
	size_t offset;	 /* into the options object */
	const char *def; /* default in text form, NULL: zero / unset */
	bool required;
	const char *help;	    /* one line: meaning, unit */
	uint64_t min, max;	    /* PROP_UINT and PROP_SIZE; max 0 = no limit */
	const char *const *choices; /* PROP_CHOICE, NULL-terminated */
	bool may_be_empty;	    /* PROP_STRING: "" is a value (else an error) */
};

struct prop_type {
	const char *name;	  /* "vfio-pci" */
	const char *help;	  /* one line */
	const char *option;	  /* that makes one: "-object"; NULL: "-device" */
	size_t size;		  /* of the options object */
	const struct prop *props; /* ends with name == NULL */
};

enum prop_value_kind { PROP_VALUE_STRING, PROP_VALUE_INT, PROP_VALUE_BOOL };
struct prop_value {
	enum prop_value_kind kind;
	const char *string;
	int64_t number;
	bool boolean;
};

/*
 * Identifiers name devices, objects, buses, chardevs and monitors, in options, QMP and messages.
 * The rule is here and nowhere else: a letter, then letters, digits, '-', '.' and '_' (QEMU's), of
 * at most PROP_ID_MAX characters. Who takes an id from outside asks prop_id_fault(); a PROP_STRING
 * called "id" does so by itself. So an id is always told whole: whoever waits for it compares it.
 */
#define PROP_ID_MAX 255
#define PROP_ID_SIZE (PROP_ID_MAX + 1) /* with the NUL */
/* What is wrong with it, as a sentence about an id; NULL: nothing. */
const char *prop_id_fault(const char *id);
/* As messages repeat what may be none: whole if it is short enough for one, else its beginning. */
const char *prop_id_show(const char *id, char out[static PROP_ID_SIZE]);
/* Of an id that was taken before, so that it fits. */
void prop_id_copy(char out[static PROP_ID_SIZE], const char *id);

/* A new object with its type's defaults. -ENOMEM. */
int props_new(const struct prop_type *type, void **out);
/*
 * Fds that nobody took out are closer's to close: clients may have handed them over (closer.h).
 * NULL: closed here, where nobody waits for us. obj may be NULL.
 */
void props_free(const struct prop_type *type, void *obj, struct closer *closer);
/* The same for an object in its owner's memory (type->size bytes, contents replaced). */
int props_init(const struct prop_type *type, void *obj);
void props_release(const struct prop_type *type, void *obj, struct closer *closer);
/* The object's PROP_FD, of which a type has one at most; NULL: it has none. */
int *props_fd(const struct prop_type *type, void *obj);
/* *fd, the caller's now; -1: none was given. */
static inline int prop_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

int prop_set(const struct prop_type *type, void *obj, const char *name,
	const struct prop_value *value, struct err *err);
/*
 * "key=value,key,nokey" after the type name; ",," is a comma; a bare key is key=on (bool only).
 * A property given twice is an error. On failure obj keeps what was set before: release it.
 */
int props_parse(const struct prop_type *type, void *obj, const char *text, struct err *err);
/* Is every required property set? */
int props_check(const struct prop_type *type, const void *obj, struct err *err);
const struct prop *prop_find(const struct prop_type *type, const char *name);
/* One line per property, as "-device TYPE,help" prints; returns bytes put into buf (truncated). */
size_t props_help(const struct prop_type *type, char *buf, size_t size);

/*
 * Cuts the next "key[=value]" off *cursor (which it overwrites; NULL at the end), for lists that
 * are no property table. Returns the key (may be empty), *value is NULL for a bare key.
 */
char *prop_next_pair(char **cursor, char **value);

/* on|off, true|false, yes|no, 1|0 (StratoVirt's); -EINVAL. */
int parse_bool(const char *text, bool *out);
/* Text to number: whole text, 0x/decimal; -EINVAL, -ERANGE. */
int parse_u64(const char *text, uint64_t *out);
/* With suffix B K M G T P; a bare number is multiplied by unit (1 for bytes, 1 << 20 for -m). */
int parse_size(const char *text, uint64_t unit, uint64_t *out);
/* -EINVAL. */
/* "FIRST" or "FIRST-LAST", both numbers of parse_u64(); text is cut. -EINVAL also for LAST < FIRST. */
int parse_range(char *text, uint64_t *first, uint64_t *last);
int parse_bdf(const char *text, struct host_bdf *out);
int parse_devfn(const char *text, int32_t *out);
int parse_pci_ids(const char *text, struct pci_ids *out);
int parse_uuid(const char *text, struct uuid *out);
/* The entry of the NULL-terminated list nearest to word, or NULL when none is near. */
const char *nearest_word(const char *word, const char *const *list);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's command line. Storage is given as JSON. The device is not: JSON would need the
 * type of each of its properties, where the classic form converts text; there a comma
 * is doubled, and nothing else is special.
 */
#include "backend/qemu/command.h"

#include "backend/qemu/dimm.h"
#include "backend/qemu/qemu.h"

#include <json-c/json.h>
#include <ring3/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take(struct r3_qemu_command *c, char *text)
{
	if (text && c->n + 1 >= c->room) {
		unsigned room = c->room ? 2 * c->room : 64;
		char **argv = realloc(c->argv, room * sizeof(*argv));
		if (argv) {
			c->argv = argv;
			c->room = room;
		}
	}
	if (!text || c->n + 1 >= c->room) {
		c->failed = true;
		free(text);
		return;
	}
	c->argv[c->n++] = text;
	c->argv[c->n] = NULL;
}

static void add(struct r3_qemu_command *c, const char *fmt, ...) R3_PRINTF(2, 3);
static void add(struct r3_qemu_command *c, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	take(c, text);
}

/* ---- storage ---- */

static void put_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void put_flag(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static struct json_object *file_node(const struct r3_qemu_options *o, bool device, unsigned i)
{
	struct json_object *node = json_object_new_object();
	char text[32];

	if (o->storage == R3_QEMU_STORAGE_NULL) {
		put_text(node, "driver", "null-co");
		json_object_object_add(node, "size", json_object_new_int64((int64_t)o->size));
		put_flag(node, "read-zeroes", true);
	} else {
		snprintf(text, sizeof(text), "/dev/fdset/%u", i);
		put_text(node, "driver", device ? "host_device" : "file");
		put_text(node, "filename", text);
		put_text(node, "discard", "unmap");
	}
	put_flag(node, "read-only", o->readonly);
	return node;
}

/* The node on top has the name that QMP and HMP know the disk by. */
static void add_disk(struct r3_qemu_command *c, const struct r3_qemu_options *o,
		     const struct r3_qemu_files *files, unsigned i)
{
	struct json_object *node = file_node(o, files->block_device, i), *top;
	char name[16];

	if (files->disk[i] >= 0) {
		add(c, "-add-fd");
		add(c, "fd=%d,set=%u", files->disk[i], i);
	}
	if (o->debug) {
		top = json_object_new_object();
		put_text(top, "driver", "blkdebug");
		if (o->blkdebug)
			put_text(top, "config", o->blkdebug);
		json_object_object_add(top, "image", node);
		put_flag(top, "read-only", o->readonly);
		node = top;
	}
	snprintf(name, sizeof(name), "disk%u", i);
	put_text(node, "node-name", name);
	put_text(node, "discard", "unmap");
	add(c, "-blockdev");
	add(c, "%s", json_object_to_json_string_ext(node, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(node);
}

/* ---- the device ---- */

static void append(char **text, const char *fmt, ...) R3_PRINTF(2, 3);
static void append(char **text, const char *fmt, ...)
{
	char *more = NULL, *both = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (*text && vasprintf(&more, fmt, ap) >= 0 && asprintf(&both, "%s%s", *text, more) < 0)
		both = NULL;
	va_end(ap);
	free(more);
	free(*text);
	*text = both;
}

static bool has_prop(const struct r3_qemu_options *o, const char *name)
{
	for (unsigned i = 0; i < o->params->nparam; i++)
		if (!strncmp(o->params->param[i].key, "prop.", 5) &&
		    !strcmp(o->params->param[i].key + 5, name))
			return true;
	return false;
}

static int append_props(char **text, const struct r3_qemu_options *o)
{
	for (unsigned i = 0; i < o->params->nparam; i++) {
		const struct r3_param *param = &o->params->param[i];
		const char *name = param->key + 5;

		if (strncmp(param->key, "prop.", 5))
			continue;
		if (!*name || strpbrk(name, ",="))
			return r3_error_set(EINVAL, "qemu: \"%s\" names no property", param->key);
		append(text, ",%s=", name);
		for (const char *at = param->value ? param->value : "on"; *at; at++)
			append(text, "%c%s", *at, *at == ',' ? "," : "");
	}
	return 0;
}

static void append_lba(char **text, const struct r3_qemu_options *o)
{
	if (o->lba)
		append(text, ",logical_block_size=%u,physical_block_size=%u", o->lba, o->lba);
}

static int add_device(struct r3_qemu_command *c, const struct r3_qemu_options *o)
{
	char *text = strdup(o->model);
	bool own_disk = o->storage != R3_QEMU_NO_STORAGE && o->namespaces == 0;
	int rc;

	append(&text, ",id=" R3_QEMU_ID_DEVICE ",bus=" R3_QEMU_ID_PORT);
	if (!strcmp(o->model, "nvme") && !has_prop(o, "serial"))
		append(&text, ",serial=ring3");
	if (own_disk) {
		append(&text, ",drive=disk0");
		append_lba(&text, o);
	}
	if (o->vectors && o->vectors_prop && !has_prop(o, o->vectors_prop))
		append(&text, ",%s=%u", o->vectors_prop, (unsigned)o->vectors);
	if (o->access_platform && !has_prop(o, "iommu_platform"))
		append(&text, ",iommu_platform=on");
	rc = append_props(&text, o);
	add(c, "-device");
	take(c, text);
	for (unsigned i = 0; i < o->namespaces; i++) {
		text = strdup("nvme-ns");
		append(&text, ",bus=" R3_QEMU_ID_DEVICE ",nsid=%u,drive=disk%u", i + 1, i);
		append_lba(&text, o);
		add(c, "-device");
		take(c, text);
	}
	return rc;
}

int r3_qemu_command_make(struct r3_qemu_command *c, const char *program,
			 const struct r3_qemu_options *o, const struct r3_qemu_files *files)
{
	static const char *const fixed[] = {
		/* Nothing that the user or the distribution configured. */
		"-no-user-config", "-nodefaults", "-display", "none",
		/* The CPU only idles: this is the accelerator that everybody has. */
		"-machine", "q35,accel=tcg,memory-backend=ram0", "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-qtest",
		"chardev:qtest", "-qtest-log", "none", "-mon", "chardev=qmp,mode=control",
		/* Hot-plug as PCI Express has it, not by ACPI, which needs a guest. */
		"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"};
	unsigned long long mem = o->mem;
	int rc;

	*c = (struct r3_qemu_command){.n = 0};
	add(c, "%s", program);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		add(c, "%s", fixed[i]);
	add(c, "-m");
	if (o->iommu)
		add(c, "%lluM,slots=%d,maxmem=%lluM", mem >> 20, R3_QEMU_DIMM_SLOTS,
		    (unsigned long long)(R3_QEMU_DIMM_TOTAL >> 20));
	else
		add(c, "%lluM", mem >> 20);
	add(c, "-object");
	add(c, "memory-backend-file,id=ram0,mem-path=/proc/self/fd/%d,share=on,size=%llu",
	    files->ram, mem);
	add(c, "-bios");
	add(c, "/proc/self/fd/%d", files->rom);
	add(c, "-chardev");
	add(c, "socket,id=qtest,fd=%d", files->qtest);
	add(c, "-chardev");
	add(c, "socket,id=qmp,fd=%d", files->qmp);
	add(c, "-chardev");
	add(c, "socket,id=doorbell,fd=%d", files->doorbell);
	for (unsigned i = 0; i < files->ndisks; i++)
		add_disk(c, o, files, i);
	if (o->iommu) {
		/* addresses of 48 bits: both the devices', and the modules' above 512 GiB */
		add(c, "-device");
		add(c, "intel-iommu,aw-bits=48,intremap=off");
	}
	add(c, "-device");
	add(c, "ivshmem-doorbell,chardev=doorbell,vectors=%d,addr=1e.0", R3_QEMU_DOORBELL_VECTORS);
	add(c, "-device");
	add(c, "pcie-root-port,id=" R3_QEMU_ID_PORT ",chassis=1,slot=1,addr=%x.0",
	    (unsigned)o->slot);
	rc = add_device(c, o);
	if (rc == 0 && c->failed)
		rc = r3_error_set(ENOMEM, "qemu: out of memory");
	return rc;
}

void r3_qemu_command_free(struct r3_qemu_command *c)
{
	for (unsigned i = 0; i < c->n; i++)
		free(c->argv[i]);
	free(c->argv);
	*c = (struct r3_qemu_command){.n = 0};
}

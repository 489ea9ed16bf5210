/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory modules: see dimm.h. */
#include "backend/qemu/dimm.h"

#include "backend/qemu/link.h"
#include "backend/qemu/qmp.h"
#include "bus/ops.h"
#include "util/kept_text.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* QEMU docs/specs/acpi_mem_hotplug: the slot to talk about, and what to do with it. No guest
 * is asked: its part is writing this very bit. */
#define MHP_SELECTOR 0xa00
#define MHP_CONTROL  0xa14
#define MHP_EJECT    0x08

#define PAGE       UINT64_C(4096)
#define LARGE      (UINT64_C(1) << 21)
#define VERY_LARGE (UINT64_C(1) << 30)

/* What a file allows. */
struct file {
	dev_t dev;
	ino_t ino;
	uint64_t size; /* whole pages of it */
	uint64_t align;
	bool readonly;
};

static int look(const struct r3_qemu_dimm_want *want, struct file *file)
{
	int seals = fcntl(want->fd, F_GET_SEALS);
	struct statfs fs;
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return r3_error_set(EPERM, "QEMU would die of this memory if its owner shrank it: "
					   "it must be a memfd with F_SEAL_SHRINK");
	if (fstat(want->fd, &st) < 0 || fstatfs(want->fd, &fs) < 0)
		return r3_error_set(errno, "cannot look at this memory: %s", strerror(errno));
	*file = (struct file){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.align = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize : PAGE,
		.readonly = seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE),
	};
	if (file->align < PAGE || file->align > VERY_LARGE || file->align & (file->align - 1))
		return r3_error_set(EINVAL, "this memory has pages of %llu bytes",
				    (unsigned long long)file->align);
	file->size = (uint64_t)st.st_size & ~(file->align - 1);
	if (want->off > file->size || want->len > file->size - want->off)
		return r3_error_set(EINVAL, "%#llx bytes at %#llx are beyond the memory's end",
				    (unsigned long long)want->len, (unsigned long long)want->off);
	if (want->write && file->readonly)
		return r3_error_set(EACCES,
				    "this memory is sealed against writing: map it for reading");
	return 0;
}

static struct r3_qemu_dimm *find(struct r3_qemu_dimms *dimms, const struct file *file, uint64_t end)
{
	for (unsigned i = 0; i < R3_QEMU_DIMM_SLOTS; i++) {
		struct r3_qemu_dimm *dimm = &dimms->slot[i];

		/* a file that was sealed since has one module of each kind */
		if (dimm->refs && dimm->dev == file->dev && dimm->ino == file->ino &&
		    dimm->size >= end && dimm->readonly == file->readonly)
			return dimm;
	}
	return NULL;
}

/* ---- a place ---- */

static uint64_t next_like(uint64_t from, uint64_t like, uint64_t align)
{
	return from + ((like - from) & (align - 1));
}

/* The lowest @size bytes of physical addresses that are free, congruent to @like. */
static bool find_place(const struct r3_qemu_dimms *dimms, uint64_t size, uint64_t like,
		       uint64_t align, uint64_t *address)
{
	uint64_t at = next_like(R3_QEMU_DIMM_FIRST, like, align);
	bool moved = true;

	/* each round passes a module for good, so there are no more rounds than modules */
	while (moved) {
		if (size > R3_QEMU_DIMM_TOTAL || at > R3_QEMU_DIMM_LAST - (size - 1))
			return false;
		moved = false;
		for (unsigned i = 0; i < R3_QEMU_DIMM_SLOTS && !moved; i++) {
			const struct r3_qemu_dimm *dimm = &dimms->slot[i];

			if (!dimm->refs || at + size <= dimm->address ||
			    dimm->address + dimm->size <= at)
				continue;
			at = next_like(dimm->address + dimm->size, like, align);
			moved = true;
		}
	}
	*address = at;
	return true;
}

/* All of the file, so that it is plugged once; where that is too much, as much as needed. */
static int place(struct r3_qemu_dimms *dimms, const struct file *file,
		 const struct r3_qemu_dimm_want *want, struct r3_qemu_dimm *dimm)
{
	uint64_t least = (want->off + want->len + file->align - 1) & ~(file->align - 1);
	uint64_t align = want->len >= VERY_LARGE ? VERY_LARGE : LARGE, total = 0;
	uint64_t like = (want->like - want->off) & ~(file->align - 1);

	if (align < file->align)
		align = file->align;
	for (unsigned i = 0; i < R3_QEMU_DIMM_SLOTS; i++)
		if (dimms->slot[i].refs)
			total += dimms->slot[i].size;
	for (dimm->size = file->size;; dimm->size = least) {
		/* QEMU counts its RAM, too: 2 GiB at most */
		if (dimm->size <= R3_QEMU_DIMM_TOTAL - (UINT64_C(2) << 30) - total &&
		    find_place(dimms, dimm->size, like, align, &dimm->address))
			return 0;
		if (dimm->size == least)
			return r3_error_set(ENOSPC,
					    "QEMU has no room for %llu MiB more of memory: unmap "
					    "something first",
					    (unsigned long long)(least >> 20));
	}
}

/* ---- plugging ---- */

static void put_text(struct json_object *o, const char *key, const char *prefix, int64_t number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%lld", prefix, (long long)number);
	json_object_object_add(o, key, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *key, uint64_t number)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)number));
}

static int64_t get_number(struct json_object *o, const char *key)
{
	struct json_object *field;

	return json_object_object_get_ex(o, key, &field) ? json_object_get_int64(field) : -1;
}

static int add_backend(struct r3_qemu_dimms *dimms, const struct r3_qemu_dimm *dimm, int fd)
{
	struct json_object *reply = NULL, *arguments;
	int64_t theirs, set;
	int rc = r3_qmp_execute_fd(dimms->qmp, "add-fd", NULL, fd, &reply);

	if (rc < 0)
		return rc;
	theirs = get_number(reply, "fd");
	set = get_number(reply, "fdset-id");
	json_object_put(reply);

	/* QEMU opens it anew, which is a description of its own, and maps that */
	arguments = json_object_new_object();
	json_object_object_add(arguments, "qom-type",
			       json_object_new_string("memory-backend-file"));
	put_text(arguments, "id", "mem", dimm->serial);
	put_text(arguments, "mem-path", "/proc/self/fd/", theirs);
	put_number(arguments, "size", dimm->size);
	json_object_object_add(arguments, "share", json_object_new_boolean(true));
	json_object_object_add(arguments, "readonly", json_object_new_boolean(dimm->readonly));
	rc = r3_qmp_execute(dimms->qmp, "object-add", arguments, NULL);

	arguments = json_object_new_object();
	put_number(arguments, "fdset-id", (uint64_t)set);
	int removed = r3_qmp_execute(dimms->qmp, "remove-fd", arguments, NULL);
	return rc < 0 ? rc : removed;
}

static int delete_backend(struct r3_qemu_dimms *dimms, const struct r3_qemu_dimm *dimm)
{
	struct json_object *arguments = json_object_new_object();

	put_text(arguments, "id", "mem", dimm->serial);
	return r3_qmp_execute(dimms->qmp, "object-del", arguments, NULL);
}

static int add_module(struct r3_qemu_dimms *dimms, const struct r3_qemu_dimm *dimm)
{
	struct json_object *arguments = json_object_new_object();

	json_object_object_add(arguments, "driver", json_object_new_string("pc-dimm"));
	put_text(arguments, "id", "dimm", dimm->serial);
	put_text(arguments, "memdev", "mem", dimm->serial);
	put_number(arguments, "addr", dimm->address);
	put_number(arguments, "slot", (uint64_t)(dimm - dimms->slot));
	return r3_qmp_execute(dimms->qmp, "device_add", arguments, NULL);
}

static int plug(struct r3_qemu_dimms *dimms, struct r3_qemu_dimm *dimm, int fd)
{
	struct r3_kept_text why;
	int rc;

	dimm->serial = dimms->serial++;
	rc = add_backend(dimms, dimm, fd);
	if (rc == 0)
		rc = add_module(dimms, dimm);
	if (rc < 0) {
		/* whether it came to be or not */
		r3_error_keep(&why);
		delete_backend(dimms, dimm);
		r3_error_put_back(&why);
	}
	return rc;
}

int r3_qemu_dimm_get(struct r3_qemu_dimms *dimms, const struct r3_qemu_dimm_want *want,
		     struct r3_qemu_dimm **out)
{
	struct r3_qemu_dimm *dimm = NULL;
	struct file file = {.align = PAGE};
	int rc = look(want, &file);

	if (rc < 0)
		return rc;
	dimm = find(dimms, &file, want->off + want->len);
	if (dimm) {
		dimm->refs++;
		*out = dimm;
		return 0;
	}
	for (unsigned i = 0; i < R3_QEMU_DIMM_SLOTS && !dimm; i++)
		if (!dimms->slot[i].refs)
			dimm = &dimms->slot[i];
	if (!dimm)
		return r3_error_set(ENOSPC,
				    "QEMU takes memory of no more than %d files at a time: unmap "
				    "something first, or map parts of one file",
				    R3_QEMU_DIMM_SLOTS);
	*dimm = (struct r3_qemu_dimm){.dev = file.dev, .ino = file.ino, .readonly = file.readonly};
	rc = place(dimms, &file, want, dimm);
	if (rc == 0)
		rc = plug(dimms, dimm, want->fd);
	if (rc < 0)
		return rc;
	dimm->refs = 1;
	*out = dimm;
	return 0;
}

int r3_qemu_dimm_put(struct r3_qemu_dimms *dimms, struct r3_qemu_dimm *dimm)
{
	uint32_t slot = (uint32_t)(dimm - dimms->slot);
	uint8_t eject = MHP_EJECT;
	int rc;

	if (dimm->refs > 1) {
		dimm->refs--;
		return 0;
	}
	rc = r3_qemu_link_rw(dimms->link, R3_QTEST_PORT, MHP_SELECTOR, &slot, 4, 1, R3_RW_WRITE);
	if (rc == 0)
		rc = r3_qemu_link_rw(dimms->link, R3_QTEST_PORT, MHP_CONTROL, &eject, 1, 1,
				     R3_RW_WRITE);
	/* from here on nobody knows whether QEMU has it: nothing more is mapped through it */
	if (rc == 0)
		dimm->ino = 0;
	/* refused while the module is there */
	if (rc == 0)
		rc = delete_backend(dimms, dimm);
	if (rc == 0)
		dimm->refs = 0;
	return rc;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What "qemu:MODEL,key=value..." asks for: see options.h. */
#include "backend/qemu/options.h"

#include "backend/qemu/qemu.h"

#include <ring3/error.h>

#include <errno.h>
#include <string.h>

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)

/* 64 MiB above what is kept free. */
#define MEM_MIN     (80 * MIB)
#define MEM_DEFAULT (256 * MIB)
/* q35 keeps this much RAM in one piece from address 0 on. */
#define MEM_MAX (2 * GIB)

/* Models that want storage, and how they call their number of MSI-X vectors. */
static const struct {
	const char *name, *vectors;
	bool namespaces;
} block_models[] = {
	{"nvme", "msix_qsize", true},
	{"virtio-blk", "vectors", false},
	{"virtio-blk-pci", "vectors", false},
	{"virtio-blk-pci-non-transitional", "vectors", false},
};

static const char *const keys[] = {"addr",     "bars", "blkdebug", "drive", "iommu",
				   "lba",      "mem",  "ns",       "null",  "prop.",
				   "readonly", "size", "vectors",  NULL};
static const char *const block_keys[] = {"blkdebug", "drive", "lba", "null", "readonly", "size"};

static int parse_storage(const struct r3_params *params, struct r3_qemu_options *o)
{
	const char *value;
	bool null = false;
	int rc = r3_params_flag(params, "null", &null);

	o->size = GIB;
	if (rc == 0)
		rc = r3_params_flag(params, "readonly", &o->readonly);
	if (rc == 0)
		rc = r3_params_size(params, "size", 512, UINT64_C(1) << 50, &o->size);
	if (rc < 0)
		return rc;
	if (o->size % 512)
		return r3_error_set(EINVAL, "qemu: size=%llu is not a multiple of 512",
				    (unsigned long long)o->size);
	if (r3_params_get(params, "drive", &o->drive)) {
		if (!o->drive || !*o->drive)
			return r3_error_set(EINVAL, "qemu: drive= needs the path of a raw image");
		if (null || r3_params_get(params, "size", &value))
			return r3_error_set(
				EINVAL, "qemu: drive= has its own size: leave size= and null out");
		o->storage = R3_QEMU_STORAGE_FILE;
	} else {
		/* what is empty and cannot be written reads as zeroes for ever */
		o->storage = null || o->readonly ? R3_QEMU_STORAGE_NULL : R3_QEMU_STORAGE_SPARSE;
	}
	o->debug = r3_params_get(params, "blkdebug", &o->blkdebug);
	return 0;
}

static int parse_lba(const struct r3_params *params, struct r3_qemu_options *o)
{
	uint64_t lba = 0;
	int rc = r3_params_size(params, "lba", 512, 4096, &lba);

	if (rc == 0 && lba != 0 && lba != 512 && lba != 4096)
		return r3_error_set(EINVAL, "qemu: lba=%llu; it must be 512 or 4096",
				    (unsigned long long)lba);
	o->lba = (unsigned)lba;
	return rc;
}

static int parse_block(const struct r3_params *params, struct r3_qemu_options *o)
{
	const char *value;
	uint64_t namespaces = 0;
	bool block = false, many = false;
	int rc;

	for (size_t i = 0; i < sizeof(block_models) / sizeof(block_models[0]); i++) {
		if (strcmp(params->head, block_models[i].name))
			continue;
		block = true;
		many = block_models[i].namespaces;
		o->vectors_prop = block_models[i].vectors;
	}
	for (size_t i = 0; i < sizeof(block_keys) / sizeof(block_keys[0]) && !block; i++)
		if (r3_params_get(params, block_keys[i], &value))
			return r3_error_set(EINVAL, "qemu: %s has no use for %s: it stores nothing",
					    params->head, block_keys[i]);
	if (!many && r3_params_get(params, "ns", &value))
		return r3_error_set(EINVAL, "qemu: %s has no namespaces: leave ns out",
				    params->head);
	if (!block)
		return 0;
	rc = parse_storage(params, o);
	if (rc == 0)
		rc = parse_lba(params, o);
	if (rc == 0)
		rc = r3_params_number(params, "ns", 1, R3_QEMU_NAMESPACES, &namespaces);
	o->namespaces = (unsigned)namespaces;
	if (rc == 0 && o->drive && namespaces > 1)
		return r3_error_set(EINVAL, "qemu: one drive= cannot be %u namespaces",
				    o->namespaces);
	return rc;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);

	return len >= n && !strcmp(text + len - n, end);
}

/* A virtio device that does not offer VIRTIO_F_ACCESS_PLATFORM passes by the IOMMU. */
static int parse_iommu(const struct r3_params *params, const struct r3_open_opts *opts,
		       struct r3_qemu_options *o)
{
	const char *value;
	int rc;

	o->iommu = opts && opts->flags & R3_OPEN_FOREIGN_MEM;
	rc = r3_params_flag(params, "iommu", &o->iommu);
	if (rc < 0 || !o->iommu || strncmp(params->head, "virtio-", 7))
		return rc;
	if ((ends_with(params->head, "-transitional") &&
	     !ends_with(params->head, "-non-transitional")) ||
	    (r3_params_get(params, "prop.iommu_platform", &value) && value && strcmp(value, "on")))
		return r3_error_set(EINVAL,
				    "qemu: %s would pass by the IOMMU: leave prop.iommu_platform "
				    "out, take its modern model, or say iommu=off",
				    params->head);
	o->access_platform = true;
	return 0;
}

int r3_qemu_options_parse(const struct r3_params *params, const struct r3_open_opts *opts,
			  struct r3_qemu_options *o)
{
	uint64_t arena = opts ? opts->arena_size : 0;
	int rc = r3_params_check(params, "qemu", keys);

	*o = (struct r3_qemu_options){.model = params->head, .params = params, .slot = 1};
	if (rc < 0)
		return rc;
	if (!*params->head ||
	    strspn(params->head, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(params->head))
		return r3_error_set(EINVAL, "qemu: needs the name of a PCI device of QEMU's, "
					    "as in qemu:nvme");
	rc = parse_iommu(params, opts, o);
	if (rc < 0)
		return rc;
	/* behind an IOMMU the arena is not in QEMU's RAM */
	if (o->iommu)
		arena = 0;
	if (arena > MEM_MAX - R3_QEMU_DMA_FIRST)
		return r3_error_set(EINVAL, "qemu: no device can have more than 2G of memory");
	o->mem = MEM_DEFAULT;
	if (arena + R3_QEMU_DMA_FIRST > o->mem)
		o->mem = (arena + R3_QEMU_DMA_FIRST + MIB - 1) / MIB * MIB;
	rc = r3_params_size(params, "mem", MEM_MIN, MEM_MAX, &o->mem);
	if (rc == 0 && o->mem % MIB)
		rc = r3_error_set(EINVAL, "qemu: mem= is not a multiple of 1M");
	if (rc == 0)
		/* the slots above are the doorbell's, and those with fixed interrupts */
		rc = r3_params_number(params, "addr", 1, 24, &o->slot);
	if (rc == 0)
		rc = r3_params_number(params, "bars", 1, UINT32_MAX, &o->bars);
	if (rc == 0)
		rc = r3_params_number(params, "vectors", 1, R3_QEMU_VECTORS, &o->vectors);
	return rc < 0 ? rc : parse_block(params, o);
}

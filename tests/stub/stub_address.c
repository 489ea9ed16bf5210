/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses "stub:nvme[,key=value]", "stub:virtio-blk[,key=value]" and "fake:VARIANT" for
 * a test program linked with -Wl,--wrap=r3_device_open_parsed, so that whatever takes an
 * address runs on a stub; where it calls r3_device_open(), with -Wl,--wrap=r3_device_open as
 * well. The keys are the members of struct nvme_stub_opts and
 * virtio_stub_opts, and the names of virtio's feature bits.
 */
#include "fake/fake_variant.h"
#include "stub/nvme_stub.h"
#include "stub/virtio_stub.h"

#include <errno.h>
#include <ring3/error.h>
#include <stdlib.h>
#include <string.h>

int __real_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out);
int __wrap_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out);
int __wrap_r3_device_open(const char *text, const struct r3_open_opts *opts,
			  struct r3_device **out);

/* A number, with what it may be and what it is at first. */
struct number {
	const char *key;
	uint64_t min, max, first;
};

static int parse_numbers(const struct r3_params *params, const struct number *number, unsigned n,
			 uint64_t *value)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < n; i++) {
		value[i] = number[i].first;
		rc = r3_params_size(params, number[i].key, number[i].min, number[i].max, &value[i]);
	}
	return rc;
}

/* ---- stub:nvme ---- */

enum nvme_number { NAMESPACES, LBA_SHIFT, SIZE, QUEUES, VECTORS, MSI, MQES, MDTS, MPS, NUMBERS };

static const struct number nvme_number[NUMBERS] = {
	[NAMESPACES] = {"namespaces", 1, STUB_NAMESPACES, 1},
	[LBA_SHIFT] = {"lba_shift", 9, 16, 9},
	[SIZE] = {"size", 65536, UINT32_MAX, 16 << 20},
	[QUEUES] = {"queues", 1, STUB_QUEUES, 8},
	[VECTORS] = {"vectors", 0, FAKE_VECTORS, 16},
	[MSI] = {"msi", 0, 32, 0},
	[MQES] = {"mqes", 1, UINT16_MAX, 1023},
	[MDTS] = {"mdts", 0, 20, 5},
	[MPS] = {"mps", 0, 4, 0},
};

static int open_nvme(const struct r3_params *params, struct r3_clock *clock, struct r3_device **out)
{
	const char *known[NUMBERS + 4] = {"sgl", "intx", "thread"};
	uint64_t value[NUMBERS];
	bool sgl = false, intx = false, thread = false;
	int rc;

	for (unsigned i = 0; i < NUMBERS; i++)
		known[3 + i] = nvme_number[i].key;
	if ((rc = r3_params_check(params, "stub:nvme", known)) < 0 ||
	    (rc = parse_numbers(params, nvme_number, NUMBERS, value)) < 0 ||
	    (rc = r3_params_flag(params, "sgl", &sgl)) < 0 ||
	    (rc = r3_params_flag(params, "intx", &intx)) < 0 ||
	    (rc = r3_params_flag(params, "thread", &thread)) < 0)
		return rc;
	const struct nvme_stub_opts opts = {
		.namespaces = (unsigned)value[NAMESPACES],
		.lba_shift = (unsigned)value[LBA_SHIFT],
		.size = value[SIZE],
		.queues = (unsigned)value[QUEUES],
		.vectors = intx || value[MSI] ? 0 : (unsigned)value[VECTORS],
		.msi = (unsigned)value[MSI],
		.mqes = (uint16_t)value[MQES],
		.mdts = (uint8_t)value[MDTS],
		.mps = (uint8_t)value[MPS],
		.sgl = sgl ? NVME_SGLS_ANY : 0,
		.thread = thread,
	};
	*out = nvme_stub_device(nvme_stub_new(&opts, clock));
	return 0;
}

/* ---- stub:virtio-blk ---- */

enum virtio_number {
	V_SIZE,
	V_QUEUES,
	V_QSIZE,
	V_VECTORS,
	V_SEG_MAX,
	V_SIZE_MAX,
	V_BLK_SIZE,
	V_BATCH,
	V_NUMBERS
};

static const struct number virtio_number[V_NUMBERS] = {
	[V_SIZE] = {"size", 65536, UINT32_MAX, 16 << 20},
	[V_QUEUES] = {"queues", 1, VIRTIO_STUB_QUEUES, 8},
	[V_QSIZE] = {"qsize", 1, VIRTQ_SIZE_MAX, 256},
	[V_VECTORS] = {"vectors", 0, FAKE_VECTORS, 16},
	[V_SEG_MAX] = {"seg_max", 1, VIRTIO_STUB_SEGS - 2, 0},
	[V_SIZE_MAX] = {"size_max", 512, UINT32_MAX, 0},
	[V_BLK_SIZE] = {"blk_size", 512, 65536, 512},
	[V_BATCH] = {"batch", 1, VIRTQ_SIZE_MAX, 1},
};

/* Features beside those that VIRTIO_STUB_FEATURES has. */
static const struct {
	const char *key;
	unsigned bit;
} feature[] = {
	{"packed", VIRTIO_F_RING_PACKED},
	{"event_idx", VIRTIO_F_EVENT_IDX},
	{"indirect", VIRTIO_F_INDIRECT_DESC},
	{"in_order", VIRTIO_F_IN_ORDER},
	{"ring_reset", VIRTIO_F_RING_RESET},
	{"platform", VIRTIO_F_ACCESS_PLATFORM},
	{"ro", VIRTIO_BLK_F_RO},
	{"flush", VIRTIO_BLK_F_FLUSH},
	{"wce", VIRTIO_BLK_F_CONFIG_WCE},
	{"mq", VIRTIO_BLK_F_MQ},
	{"discard", VIRTIO_BLK_F_DISCARD},
	{"zeroes", VIRTIO_BLK_F_WRITE_ZEROES},
};

#define FEATURES (sizeof(feature) / sizeof(feature[0]))

static int open_virtio(const struct r3_params *params, struct r3_clock *clock,
		       struct r3_device **out)
{
	const char *known[V_NUMBERS + FEATURES + 3] = {"intx", "thread"};
	uint64_t value[V_NUMBERS], features = VIRTIO_STUB_FEATURES;
	bool intx = false, thread = false;
	int rc;

	for (unsigned i = 0; i < V_NUMBERS; i++)
		known[2 + i] = virtio_number[i].key;
	for (unsigned i = 0; i < FEATURES; i++)
		known[2 + V_NUMBERS + i] = feature[i].key;
	if ((rc = r3_params_check(params, "stub:virtio-blk", known)) < 0 ||
	    (rc = parse_numbers(params, virtio_number, V_NUMBERS, value)) < 0 ||
	    (rc = r3_params_flag(params, "intx", &intx)) < 0 ||
	    (rc = r3_params_flag(params, "thread", &thread)) < 0)
		return rc;
	for (unsigned i = 0; i < FEATURES; i++) {
		uint64_t mask = VIRTIO_FEATURE(feature[i].bit);
		bool on = features & mask;

		rc = r3_params_flag(params, feature[i].key, &on);
		if (rc < 0)
			return rc;
		features = on ? features | mask : features & ~mask;
	}
	if (value[V_SIZE_MAX])
		features |= VIRTIO_FEATURE(VIRTIO_BLK_F_SIZE_MAX);
	const struct virtio_stub_opts opts = {
		.features = features,
		.size = value[V_SIZE],
		.queues =
			features & VIRTIO_FEATURE(VIRTIO_BLK_F_MQ) ? (unsigned)value[V_QUEUES] : 1,
		.qsize = (unsigned)value[V_QSIZE],
		.vectors = intx ? 0 : (unsigned)value[V_VECTORS],
		.seg_max = (unsigned)value[V_SEG_MAX],
		.size_max = (unsigned)value[V_SIZE_MAX],
		.blk_size = (unsigned)value[V_BLK_SIZE],
		.batch = (unsigned)value[V_BATCH],
		.strict = true,
		.thread = thread,
	};
	*out = virtio_stub_device(virtio_stub_new(&opts, clock));
	return 0;
}

int __wrap_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out)
{
	struct r3_clock *clock = opts ? opts->clock : NULL;
	struct r3_device *dev = NULL;
	int rc;

	if (strcmp(address->scheme, "fake") == 0)
		return fake_variant_open(address, opts, out);
	if (strcmp(address->scheme, "stub") != 0)
		return __real_r3_device_open_parsed(address, opts, out);
	if (strcmp(address->rest.head, "nvme") == 0)
		rc = open_nvme(&address->rest, clock, &dev);
	else if (strcmp(address->rest.head, "virtio-blk") == 0)
		rc = open_virtio(&address->rest, clock, &dev);
	else
		rc = r3_error_set(EINVAL, "stub:%s: it is nvme or virtio-blk", address->rest.head);
	if (rc)
		return rc;
	free(dev->address); /* it was adopted under a name of its own */
	dev->address = NULL;
	return r3_device_wrap(dev, address, out);
}

int __wrap_r3_device_open(const char *text, const struct r3_open_opts *opts, struct r3_device **out)
{
	struct r3_address *address;
	int rc = r3_address_parse(text, &address);

	if (rc)
		return rc;
	rc = __wrap_r3_device_open_parsed(address, opts, out);
	r3_address_free(address);
	return rc;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The address "stub:nvme[,key=value]" for a test program linked with
 * -Wl,--wrap=r3_device_open_parsed, so that whatever takes an address runs on the stub.
 * The keys are the members of struct nvme_stub_opts.
 */
#include "stub/nvme_stub.h"

#include <string.h>

int __real_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out);
int __wrap_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out);

/* The numbers, with what they may be and what they are at first. */
enum number { NAMESPACES, LBA_SHIFT, SIZE, QUEUES, VECTORS, MSI, MQES, MDTS, MPS, NUMBERS };

static const struct {
	const char *key;
	uint64_t min, max, first;
} number[NUMBERS] = {
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

static int parse(const struct r3_params *params, struct nvme_stub_opts *opts)
{
	const char *known[NUMBERS + 3] = {"sgl", "intx"};
	uint64_t value[NUMBERS];
	bool sgl = false, intx = false;
	int rc;

	for (unsigned i = 0; i < NUMBERS; i++)
		known[2 + i] = number[i].key;
	rc = r3_params_check(params, "stub:nvme", known);
	for (unsigned i = 0; rc == 0 && i < NUMBERS; i++) {
		value[i] = number[i].first;
		rc = r3_params_size(params, number[i].key, number[i].min, number[i].max, &value[i]);
	}
	if (rc < 0 || (rc = r3_params_flag(params, "sgl", &sgl)) < 0 ||
	    (rc = r3_params_flag(params, "intx", &intx)) < 0)
		return rc;
	*opts = (struct nvme_stub_opts){
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
	};
	return 0;
}

int __wrap_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out)
{
	struct nvme_stub_opts stub;
	int rc;

	if (strcmp(address->scheme, "stub") != 0)
		return __real_r3_device_open_parsed(address, opts, out);
	rc = parse(&address->rest, &stub);
	if (rc == 0)
		*out = nvme_stub_device(nvme_stub_new(&stub, opts ? opts->clock : NULL));
	return rc;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The address "stub:nvme[,key=value]" for a test program linked with
 * -Wl,--wrap=r3_device_open_parsed, so that whatever takes an address runs on the stub.
 * The keys are the members of struct nvme_stub_opts.
 */
#include "stub/nvme_stub.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>

int __real_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out);
int __wrap_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out);

int __wrap_r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
				 struct r3_device **out)
{
	static const char *const known[] = {"namespaces", "lba_shift", "size", "queues",
					    "vectors",    "msi",       "mqes", "mdts",
					    "sgl",        "intx",      NULL};
	const struct r3_params *p = &address->rest;
	uint64_t namespaces = 1, lba_shift = 9, size = 16 << 20, queues = 8, vectors = 16, msi = 0,
		 mqes = 1023, mdts = 5;
	bool sgl = false, intx = false;
	int rc;

	if (strcmp(address->scheme, "stub") != 0)
		return __real_r3_device_open_parsed(address, opts, out);
	rc = r3_params_check(p, "stub:nvme", known);
	if (rc < 0 || (rc = r3_params_number(p, "namespaces", 1, STUB_NAMESPACES, &namespaces)) ||
	    (rc = r3_params_number(p, "lba_shift", 9, 16, &lba_shift)) ||
	    (rc = r3_params_size(p, "size", 4096, UINT32_MAX, &size)) ||
	    (rc = r3_params_number(p, "queues", 1, STUB_QUEUES, &queues)) ||
	    (rc = r3_params_number(p, "vectors", 0, FAKE_VECTORS, &vectors)) ||
	    (rc = r3_params_number(p, "msi", 0, 32, &msi)) ||
	    (rc = r3_params_number(p, "mqes", 1, UINT16_MAX, &mqes)) ||
	    (rc = r3_params_number(p, "mdts", 0, 20, &mdts)) ||
	    (rc = r3_params_flag(p, "sgl", &sgl)) || (rc = r3_params_flag(p, "intx", &intx)))
		return rc;

	const struct nvme_stub_opts stub = {.namespaces = (unsigned)namespaces,
					    .lba_shift = (unsigned)lba_shift,
					    .size = size,
					    .queues = (unsigned)queues,
					    .vectors = intx || msi ? 0 : (unsigned)vectors,
					    .msi = (unsigned)msi,
					    .mqes = (uint16_t)mqes,
					    .mdts = (uint8_t)mdts,
					    .sgl = sgl};

	*out = nvme_stub_device(nvme_stub_new(&stub, opts ? opts->clock : NULL));
	return 0;
}

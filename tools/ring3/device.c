/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a device for its registers. A block device may have none; then the text says
 * which command serves it. */
#include "command.h"
#include <errno.h>
#include <ring3/address.h>
#include <ring3/device.h>
#include <ring3/error.h>
#include <ring3/version.h>
#include <string.h>

static bool is_block_scheme(const char *scheme)
{
	for (const struct r3_feature *f = r3_features(); f->name; f++) {
		if (!strcmp(f->kind, "block") && !strcmp(f->name, scheme))
			return true;
	}
	return false;
}

int device_open(const char *text, const struct r3_open_opts *opts, struct r3_device **dev)
{
	struct r3_address *address;
	int rc = r3_address_parse(text, &address);

	if (rc < 0)
		return rc;
	if (is_block_scheme(address->scheme))
		rc = r3_error_set(ENODEV,
				  "%s: is a block device without registers; 'ring3 run' serves it",
				  address->scheme);
	r3_address_free(address);
	return rc < 0 ? rc : r3_device_open(text, opts, dev);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block schemes: addresses that are block devices by themselves, with no device and
 * no driver below. They are what every other provider is measured against.
 */
#ifndef RING3_CLASS_SCHEME_H
#define RING3_CLASS_SCHEME_H

#include <ring3/address.h>
#include <ring3/driver.h>

struct r3_block_scheme {
	const char *name;
	const char *summary; /* one line, for `ring3 version --features` */
	/** @params is the part behind the colon; @opts is never NULL. */
	int (*open)(const struct r3_params *params, const struct r3_block_opts *opts,
		    struct r3_block **out);
};

extern const struct r3_block_scheme r3_block_file, r3_block_null;

/** All of them, NULL-ended; lib/all.c. */
extern const struct r3_block_scheme *const r3_block_schemes[];

#endif

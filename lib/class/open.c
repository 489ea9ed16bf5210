/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From an address to a block device: either a block scheme, or a device and the driver
 * that knows it. Whatever opened it, what it claims to be is looked at before use.
 */
#include "bus/ops.h"
#include "class/scheme.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A device can lie, and a driver can believe it. */
static int check_limits(const struct r3_block *block)
{
	const struct r3_block_limits *l = &block->limits;
	uint32_t mask = l->block_size - 1;

	if (l->block_size < 512 || l->block_size > 65536 || (l->block_size & mask))
		return r3_error_set(EIO, "%s: a block size of %u bytes", block->name,
				    l->block_size);
	if (!l->size || l->size > INT64_MAX || (l->size & mask))
		return r3_error_set(EIO, "%s: a size of %llu bytes with blocks of %u", block->name,
				    (unsigned long long)l->size, l->block_size);
	if (!l->max_len || ((l->max_len | l->max_zeroes_len | l->max_discard_len) & mask) ||
	    !l->max_sg || !l->max_queues || !l->max_depth)
		return r3_error_set(EIO, "%s: its limits allow no request", block->name);
	return 0;
}

static int check_driver(const struct r3_driver_v1 *driver, const char *dev_name)
{
	if (driver->abi != R3_DRIVER_ABI || driver->size < sizeof(*driver))
		return r3_error_set(ENODEV, "%s: driver %s is of ABI %u, this library of %u",
				    dev_name, driver->name, driver->abi, R3_DRIVER_ABI);
	if (driver->class_id != R3_CLASS_BLOCK || !driver->attach_block)
		return r3_error_set(ENODEV, "%s: driver %s is not for block devices", dev_name,
				    driver->name);
	return 0;
}

/** What the caller left out. */
static int complete_opts(const struct r3_block_opts *opts, struct r3_block_opts *all)
{
	*all = (struct r3_block_opts){.size = sizeof(*all)};
	if (opts && opts->size < sizeof(*all))
		return r3_error_set(EINVAL, "r3_block_opts.size is %u, not %zu", opts->size,
				    sizeof(*all));
	if (opts)
		*all = *opts;
	all->size = sizeof(*all);
	return 0;
}

/** Give @block out if it is one that can be. */
static int hand_out(struct r3_block *block, struct r3_block **out)
{
	int rc = check_limits(block);

	if (rc)
		r3_block_close(block);
	else
		*out = block;
	return rc;
}

int r3_block_attach(struct r3_device *dev, const struct r3_driver_v1 *driver,
		    const struct r3_block_opts *opts, struct r3_block **out)
{
	struct r3_block_opts all;
	struct r3_block *block;
	int rc;

	rc = complete_opts(opts, &all);
	if (rc == 0)
		rc = check_driver(driver, r3_device_get_info(dev)->name);
	if (rc == 0)
		rc = driver->attach_block(dev, &all, &block);
	if (rc) {
		r3_device_close(dev);
		return rc;
	}
	return hand_out(block, out);
}

/* The list of schemes for devices does not have ours. */
static int add_schemes(int rc, const char *name)
{
	char text[512];
	size_t at;

	for (const struct r3_backend *const *b = r3_backends; *b; b++)
		if (strcmp((*b)->scheme, name) == 0)
			return rc;
	at = (size_t)snprintf(text, sizeof(text), "%s; and for block devices:", r3_error_text());
	for (const struct r3_block_scheme *const *s = r3_block_schemes; *s && at < sizeof(text);
	     s++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %s", (*s)->name);
	return r3_error_set(-rc, "%s", text);
}

static int open_device(const struct r3_address *address, const struct r3_block_opts *opts,
		       struct r3_block **out)
{
	const struct r3_open_opts dev_opts = {.size = sizeof(dev_opts), .clock = opts->clock};
	const struct r3_driver_v1 *driver;
	struct r3_device *dev;
	int rc;

	rc = r3_device_open_parsed(address, &dev_opts, &dev);
	if (rc)
		return rc == -ENODEV ? add_schemes(rc, address->scheme) : rc;
	rc = r3_driver_find(dev, opts->driver, &driver);
	if (rc) {
		r3_device_close(dev);
		return rc;
	}
	return r3_block_attach(dev, driver, opts, out);
}

static const struct r3_block_scheme *find_scheme(const char *name)
{
	for (const struct r3_block_scheme *const *s = r3_block_schemes; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}

static int open_address(const struct r3_address *address, const struct r3_block_opts *opts,
			struct r3_block **out)
{
	const struct r3_block_scheme *scheme = find_scheme(address->scheme);
	struct r3_block *block;
	int rc;

	if (!scheme)
		return open_device(address, opts, out);
	if (address->nfilter)
		return r3_error_set(EINVAL, "%s: filter '%s' stands in front of devices only",
				    scheme->name, address->filter[0].head);
	if (opts->driver)
		return r3_error_set(EINVAL, "%s: needs no driver: leave '%s' out", scheme->name,
				    opts->driver);
	if (opts->nsid > 1)
		return r3_error_set(ENODEV, "%s: has one namespace only, not %u", scheme->name,
				    opts->nsid);
	rc = scheme->open(&address->rest, opts, &block);
	return rc ? rc : hand_out(block, out);
}

int r3_block_open(const char *text, const struct r3_block_opts *opts, struct r3_block **out)
{
	struct r3_block_opts all;
	struct r3_address *address;
	int rc;

	rc = complete_opts(opts, &all);
	if (rc)
		return rc;
	rc = r3_address_parse(text, &address);
	if (rc)
		return rc;
	rc = open_address(address, &all, out);
	r3_address_free(address);
	return rc;
}

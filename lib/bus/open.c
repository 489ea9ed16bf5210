/* SPDX-License-Identifier: BSD-2-Clause */
/* From an address to a device: the carrier behind the scheme, then the filters in front of
 * it, innermost first. */
#include "bus/ops.h"

#include <ring3/error.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names that work here, for a text. */
static void list_schemes(char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (const struct r3_backend *const *b = r3_backends; *b; b++)
		if ((*b)->open && n < size)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "",
					      (*b)->scheme);
	if (!n)
		snprintf(buf, size, "none");
}

static int find_backend(const char *scheme, const struct r3_backend **out)
{
	char known[256];

	for (const struct r3_backend *const *b = r3_backends; *b; b++) {
		if (strcmp((*b)->scheme, scheme))
			continue;
		if (!(*b)->open)
			return r3_error_set(ENODEV, "%s: %s", scheme, (*b)->missing);
		*out = *b;
		return 0;
	}
	list_schemes(known, sizeof(known));
	return r3_error_set(ENODEV, "unknown scheme \"%s:\"; those built in are: %s", scheme,
			    known);
}

static int find_filter(const char *name, const struct r3_filter **out)
{
	char known[256] = "none";
	size_t n = 0;

	for (const struct r3_filter *const *f = r3_filters; *f; f++) {
		if (!(*f)->wrap) {
			if (!strcmp((*f)->name, name))
				return r3_error_set(ENODEV, "%s: %s", name, (*f)->missing);
			continue;
		}
		if (!strcmp((*f)->name, name)) {
			*out = *f;
			return 0;
		}
		if (n < sizeof(known))
			n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
					      (*f)->name);
	}
	return r3_error_set(ENODEV, "unknown filter \"%s\"; those built in are: %s", name, known);
}

/* Name @dev after the part of @address from filter @from on. Closes it on failure. */
static int adopt_as(struct r3_device *dev, const struct r3_address *address, unsigned from)
{
	struct r3_address part = *address;
	char *text;
	size_t n;
	int rc;

	part.filter += from;
	part.nfilter -= from;
	n = r3_address_print(&part, NULL, 0);
	text = malloc(n + 1);
	if (!text) {
		r3_device_close(dev);
		return r3_error_set(ENOMEM, "out of memory");
	}
	r3_address_print(&part, text, n + 1);
	rc = r3_device_adopt(dev, text);
	free(text);
	return rc;
}

/* Callers built against an older or newer header have a shorter or longer struct. */
static int normalise(const struct r3_open_opts *opts, struct r3_open_opts *own)
{
	*own = (struct r3_open_opts){.size = sizeof(*own)};
	if (!opts)
		return 0;
	if (opts->size < offsetof(struct r3_open_opts, clock))
		return r3_error_set(EINVAL, "r3_open_opts.size is %u: set it to the struct's size",
				    opts->size);
	memcpy(own, opts, opts->size < sizeof(*own) ? opts->size : sizeof(*own));
	own->size = sizeof(*own);
	if (own->flags & ~(uint32_t)R3_OPEN_FOREIGN_MEM)
		return r3_error_set(EINVAL, "unknown open flags %#x", own->flags);
	return 0;
}

int r3_device_wrap(struct r3_device *dev, const struct r3_address *address, struct r3_device **out)
{
	const struct r3_filter *filter = NULL;
	int rc = adopt_as(dev, address, address->nfilter);

	for (unsigned i = address->nfilter; i-- > 0 && !rc;) {
		struct r3_device *lower = dev;

		rc = find_filter(address->filter[i].head, &filter);
		if (!rc)
			rc = filter->wrap(lower, &address->filter[i], &dev);
		if (rc)
			r3_device_close(lower);
		else
			rc = adopt_as(dev, address, i);
	}
	if (!rc)
		*out = dev;
	return rc;
}

int r3_device_open_parsed(const struct r3_address *address, const struct r3_open_opts *opts,
			  struct r3_device **out)
{
	const struct r3_backend *backend = NULL;
	const struct r3_filter *filter = NULL;
	struct r3_open_opts own;
	struct r3_device *dev;
	int rc;

	rc = normalise(opts, &own);
	/* all names, before anything is started */
	for (unsigned i = 0; i < address->nfilter && !rc; i++)
		rc = find_filter(address->filter[i].head, &filter);
	if (!rc)
		rc = find_backend(address->scheme, &backend);
	if (!rc)
		rc = backend->open(address, &own, &dev);
	return rc ? rc : r3_device_wrap(dev, address, out);
}

int r3_device_open(const char *text, const struct r3_open_opts *opts, struct r3_device **out)
{
	struct r3_address *address;
	int rc = r3_address_parse(text, &address);

	if (rc)
		return rc;
	rc = r3_device_open_parsed(address, opts, out);
	r3_address_free(address);
	return rc;
}

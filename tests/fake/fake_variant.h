/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fake device in variants, of which each lacks or has what carriers differ in. They
 * interrupt and copy on demand, by registers, so that whoever is far from them can ask.
 */
#ifndef FAKE_VARIANT_H
#define FAKE_VARIANT_H

#include "fake/fake_device.h"

/* In BAR 4, behind the MSI-X table and its pending bits. */
#define FAKE_REG_RAISE 0xc00 /* 32 bits, written: type << 16 | vector */
#define FAKE_REG_LOWER 0xc04 /* 32 bits, written: whatever */
#define FAKE_REG_COPY  0xc08 /* 32 bits, written: how many bytes; read: how many it copied */
#define FAKE_REG_TO    0xc10 /* 64 bits */
#define FAKE_REG_FROM  0xc18 /* 64 bits */

/** "full", "assigned", "own-mem", "bare" or "dispatch", not adopted yet. NULL, with a text:
 *  there is no such variant, or no memory. */
struct fake_device *fake_variant(const char *variant, const struct r3_open_opts *opts);

/** Open what an address "fake:VARIANT" says, with its filters. */
int fake_variant_open(const struct r3_address *address, const struct r3_open_opts *opts,
		      struct r3_device **out);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream in memory (lib/util/stream.h): two ends, each receives what the other one sends.
 * For what must run without sockets, and for peers that send in odd pieces.
 */
#ifndef RING3_TESTS_MEMORY_STREAM_H
#define RING3_TESTS_MEMORY_STREAM_H

#include "util/stream.h"

#include <stdbool.h>
#include <stddef.h>

/** Make both ends; each is closed on its own. Returns false where memory lacks. */
bool memory_stream_pair(struct r3_stream *ends[2]);

/** Bytes that the other end will take before this one's send is full (-EAGAIN); without
 *  this, no end of them. What is received makes room again. */
void memory_stream_limit(struct r3_stream *end, size_t bytes);

/** How many bytes have been sent to this end and not been received. */
size_t memory_stream_waiting(const struct r3_stream *end);

#endif

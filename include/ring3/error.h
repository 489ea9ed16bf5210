/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors. Every call that can fail returns 0 or a negative errno, and leaves in
 * this thread a text that says what failed, on which device, and what to do
 * about it. The text belongs to the thread and is replaced by its next failure;
 * a call that succeeds leaves it alone.
 */
#ifndef RING3_ERROR_H
#define RING3_ERROR_H

#include <ring3/api.h>

R3_BEGIN

/** The text of this thread's last failure; "" when there was none. Never NULL.
 *  Valid until the next failing call of the same thread. */
R3_API const char *r3_error_text(void);

/** Set this thread's text. For drivers and other providers.
 *  @err  a positive errno.
 *  Returns -err, so that a provider can write `return r3_error_set(EINVAL, ...)`. */
R3_API int r3_error_set(int err, const char *fmt, ...) R3_PRINTF(2, 3);

/** Put "text: " before this thread's text, for a caller that knows what the
 *  failed step was part of. Returns rc unchanged. */
R3_API int r3_error_prefix(int rc, const char *fmt, ...) R3_PRINTF(2, 3);

R3_END
#endif

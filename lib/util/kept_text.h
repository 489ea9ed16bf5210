/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of a failure outlives what is undone after it. Undoing a thing, or doing it
 * another way, may fail as well, on the way and unasked for; the caller wants to read why
 * the call failed, and that of a call that succeeds is not to be touched (error.h).
 */
#ifndef RING3_UTIL_KEPT_TEXT_H
#define RING3_UTIL_KEPT_TEXT_H

#include "util/kit.h"

#define R3_ERROR_TEXT_MAX 512 /* with its NUL; longer ones are cut */

struct r3_kept_text {
	char text[R3_ERROR_TEXT_MAX];
};

/** Copy this thread's text, and put it back. */
R3_KIT void r3_error_keep(struct r3_kept_text *kept);
R3_KIT void r3_error_put_back(const struct r3_kept_text *kept);

#endif

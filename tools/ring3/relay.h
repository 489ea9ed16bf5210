/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What isolated processes say on standard error, which is a pipe to us: ours may be a
 * terminal, and who has that can read what is typed and make it do things.
 */
#ifndef TOOLS_RING3_RELAY_H
#define TOOLS_RING3_RELAY_H

struct relay {
	int in;  /* readable when something was said; -1 */
	int out; /* for them, who never wait at it; -1: they have it */
};

#define RELAY_NONE ((struct relay){-1, -1})

/** Errors: EMFILE. */
int relay_open(struct relay *relay);
/** Pass on what there is, as text. Does not wait; what nobody takes from us is lost. */
void relay_pass(struct relay *relay);
/** The processes have it now: its end is theirs. */
void relay_given(struct relay *relay);
void relay_close(struct relay *relay);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions of vfio-user, written by hand from the tables of its specification: what a peer that
 * is not ours says, and what ours has to say to it, byte by byte. README.md has the format.
 */
#ifndef RING3_TESTS_TRANSCRIPTS_SCRIPT_H
#define RING3_TESTS_TRANSCRIPTS_SCRIPT_H

#include "wire/vfio_user.h"

#define SCRIPT_BYTES 2048
#define SCRIPT_LINES 512
#define SCRIPT_WORDS 8
#define SCRIPT_NAMES 32

enum line_kind {
	LINE_SENT,     /* ">" the peer says */
	LINE_EXPECTED, /* "<" ours has to say */
	LINE_STEP,     /* anything else: what happens beside the messages */
};

struct line {
	enum line_kind kind;
	unsigned number; /* in the file */
	/* of a message: */
	unsigned len;
	unsigned char bytes[SCRIPT_BYTES], mask[SCRIPT_BYTES]; /* mask 0: any byte */
	bool rest;   /* more bytes may follow, whatever they are */
	bool json;   /* and they are the text of VFIO_USER_VERSION */
	bool end;    /* whoever says it hangs up then */
	char id[16]; /* name of the message id: given by who asks, echoed by who answers */
	char *fds[SCRIPT_WORDS];
	unsigned nfds;
	/* of a step: */
	char *word[SCRIPT_WORDS];
	unsigned nwords;
};

struct script {
	const char *path;
	char *text;
	bool for_server; /* ours that it is about: the server, or the client */
	struct line line[SCRIPT_LINES];
	unsigned n;
	struct {
		char name[16];
		uint16_t id;
	} id[SCRIPT_NAMES];
	struct {
		char name[16];
		int fd;
	} fd[SCRIPT_NAMES];
	unsigned nids, nfds;
};

/** Say what is wrong in a line and end the program. */
_Noreturn void script_fail(const struct script *script, const struct line *line, const char *fmt,
			   ...) R3_PRINTF(3, 4);

/** Read a file; ends the program where it is malformed. */
void script_read(struct script *script, const char *path);
void script_free(struct script *script);

/** The bytes of a message to be sent, its id filled in. */
void script_fill(struct script *script, const struct line *line, unsigned char *out);
/** Why @line is not this message; NULL: it is. Learns the id. */
const char *script_mismatch(struct script *script, const struct line *line,
			    const unsigned char *bytes, unsigned len, unsigned nfds);

/** Descriptors by name, which are the script's; made the first time they are named. Ends the
 *  program where that cannot be done. */
int script_fd(struct script *script, const struct line *line, const char *name);
/** Keep a descriptor that came, under the name that @line has for it. */
void script_keep_fd(struct script *script, const struct line *line, unsigned i, int fd);

/** A number in a step. */
uint64_t script_number(const struct script *script, const struct line *line, unsigned word);
/** A step that both sides have: true, and it is done. */
bool script_common_step(struct script *script, const struct line *line);

#endif

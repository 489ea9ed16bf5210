/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two sides of vfio-user tell each other first (VFIO_USER_VERSION): JSON, read
 * strictly and within bounds. Names that are unknown are skipped, for every side has its own;
 * what is known must be of its type and in its range.
 */
#ifndef RING3_WIRE_VFIO_USER_CAPS_H
#define RING3_WIRE_VFIO_USER_CAPS_H

#include "wire/vfio_user.h"

/** Longest text that is read or written, its NUL included. */
#define R3_VFIO_USER_CAPS_MAX 4096

/** Windows of device addresses that "ring3" can tell. */
#define R3_VFIO_USER_WINDOWS 8

struct r3_vfio_user_caps {
	uint32_t max_msg_fds;        /* at least 1 */
	uint32_t max_data_xfer_size; /* at least 8 */
	uint32_t max_dma_maps;       /* at least 1 */
	uint64_t pgsizes;            /* or'ed powers of two; not 0 */
	bool twin_socket;
	bool write_multiple;
	/* twin_socket.fd_index, of a server's reply: which of its descriptors; -1 none */
	int twin_fd;
	/* Private: the sender is of this family, and knows what else is said of "ring3". */
	bool ring3;
	bool no_dma;       /* a server's: its device reaches nothing, told by an empty list */
	unsigned nwindows; /* usable device addresses, a server's; 0 and not no_dma: not told */
	struct {
		uint64_t first, last; /* inclusive */
	} window[R3_VFIO_USER_WINDOWS];
};

/** What a peer that says nothing can do. */
void r3_vfio_user_caps_default(struct r3_vfio_user_caps *out);

/** Read @len bytes (no NUL among them needed) of version data; @text NULL: the defaults.
 *  Errors: EINVAL no such JSON, or a value out of its range: the text says which. */
int r3_vfio_user_caps_decode(const char *text, size_t len, struct r3_vfio_user_caps *out);

/** Write them, all by name. Returns the length with the NUL; never more than the room. */
size_t r3_vfio_user_caps_encode(const struct r3_vfio_user_caps *caps,
				char out[R3_VFIO_USER_CAPS_MAX]);

/** Is @version, a client's request, one that we can serve? Then *minor is what the reply
 *  says: no more than was proposed. Errors: EINVAL another major version: hang up. */
int r3_vfio_user_version_agree(const struct vfio_user_version *version, uint16_t *minor);

#endif

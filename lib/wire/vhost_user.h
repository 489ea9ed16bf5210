/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost-user on the wire: what each message must look like, and nothing of what it does.
 * Both sides check by these rules everything that they receive before they look at it.
 * The rules know every message of the protocol, so that one that a side has no use for
 * can be told from one that is broken.
 */
#ifndef RING3_WIRE_VHOST_USER_H
#define RING3_WIRE_VHOST_USER_H

#include <ring3/spec/vhost_user.h>
#include <stdbool.h>
#include <stddef.h>

#define R3_VHOST_USER_FDS VHOST_USER_MEM_REGIONS

/** Who asks: the front-end on the socket, the back-end on its own channel. */
enum r3_vhost_user_asker { R3_VHOST_USER_FRONTEND, R3_VHOST_USER_BACKEND };

struct r3_vhost_user_msg {
	struct vhost_user_header header;
	uint32_t nfds; /* descriptors that came with it, or go with it */
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_memory memory;
		struct vhost_user_single_region single;
		struct vhost_user_config config;
		struct vhost_user_log log;
		struct vhost_user_iotlb iotlb;
		struct vhost_user_vring_area area;
		struct vhost_user_inflight inflight;
	} payload;
	int fd[R3_VHOST_USER_FDS];
};

/** "SET_MEM_TABLE"; "unknown request". */
const char *r3_vhost_user_name(enum r3_vhost_user_asker asker, uint32_t request);

/** Whether the answer to @request is in its nature: else there is one only where the
 *  asker set NEED_REPLY, and it says 0 or not. */
bool r3_vhost_user_has_answer(enum r3_vhost_user_asker asker, uint32_t request);

/** Whether a header is one, before its payload is read into struct r3_vhost_user_msg.
 *  Errors: EPROTO another version, or a payload that no message has; with a text. */
int r3_vhost_user_check_header(const struct vhost_user_header *header);

/** A request, as a whole: its payload and the number of its descriptors.
 *  Errors: EPROTO it cannot be right (the text says why); EOPNOTSUPP no such request. */
int r3_vhost_user_check(enum r3_vhost_user_asker asker, const struct r3_vhost_user_msg *msg);

/** The answer to the request @asked. Errors: EPROTO it is none, or is malformed; EREMOTEIO
 *  it says that the request failed. */
int r3_vhost_user_check_answer(enum r3_vhost_user_asker asker,
			       const struct r3_vhost_user_msg *asked,
			       const struct r3_vhost_user_msg *answer);

/** Begin a message: a request, or with VHOST_USER_FLAG_REPLY an answer, of @size bytes of
 *  payload, which are zeroed. */
void r3_vhost_user_begin(struct r3_vhost_user_msg *msg, uint32_t request, uint32_t flags,
			 uint32_t size);

/** Bytes of a SET_MEM_TABLE of @n regions, and of a GET_CONFIG or SET_CONFIG of @n bytes. */
#define R3_VHOST_USER_MEMORY_SIZE(n) (8 + (uint32_t)sizeof(struct vhost_user_memory_region) * (n))
#define R3_VHOST_USER_CONFIG_SIZE(n) (VHOST_USER_CONFIG_HEADER + (n))

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The messages of vhost-user, one row each. */
#include "wire/vhost_user.h"

#include <errno.h>
#include <ring3/error.h>
#include <string.h>

enum payload {
	NONE,
	U64,
	STATE,
	ADDR,
	MEMORY,
	SINGLE,
	CONFIG,
	LOG, /* or, of old, 8 bytes */
	IOTLB,
	AREA,
	INFLIGHT, /* with or without its padding */
	ANY,      /* what we never read */
};

enum fds {
	NO_FD,
	ONE_FD,
	MAYBE_FD,
	REGION_FDS, /* one for each region */
	VRING_FD,   /* one, unless VHOST_USER_VRING_NOFD says that there is none */
};

struct rule {
	const char *name; /* NULL: no such request */
	uint8_t payload;  /* enum payload */
	uint8_t fds;      /* enum fds */
	bool answered;    /* in any case, with */
	uint8_t answer;   /* enum payload */
};

#define RULE(name_, payload_, fds_) [VHOST_USER_##name_] = {#name_, payload_, fds_, false, U64}
#define ANSWERED(name_, payload_, fds_, answer_) \
	[VHOST_USER_##name_] = {#name_, payload_, fds_, true, answer_}

static const struct rule frontend[] = {
	ANSWERED(GET_FEATURES, NONE, NO_FD, U64),
	RULE(SET_FEATURES, U64, NO_FD),
	RULE(SET_OWNER, NONE, NO_FD),
	RULE(RESET_OWNER, NONE, NO_FD),
	RULE(SET_MEM_TABLE, MEMORY, REGION_FDS),
	RULE(SET_LOG_BASE, LOG, MAYBE_FD),
	RULE(SET_LOG_FD, NONE, ONE_FD),
	RULE(SET_VRING_NUM, STATE, NO_FD),
	RULE(SET_VRING_ADDR, ADDR, NO_FD),
	RULE(SET_VRING_BASE, STATE, NO_FD),
	ANSWERED(GET_VRING_BASE, STATE, NO_FD, STATE),
	RULE(SET_VRING_KICK, U64, VRING_FD),
	RULE(SET_VRING_CALL, U64, VRING_FD),
	RULE(SET_VRING_ERR, U64, VRING_FD),
	ANSWERED(GET_PROTOCOL_FEATURES, NONE, NO_FD, U64),
	RULE(SET_PROTOCOL_FEATURES, U64, NO_FD),
	ANSWERED(GET_QUEUE_NUM, NONE, NO_FD, U64),
	RULE(SET_VRING_ENABLE, STATE, NO_FD),
	RULE(SEND_RARP, U64, NO_FD),
	RULE(NET_SET_MTU, U64, NO_FD),
	RULE(SET_BACKEND_REQ_FD, NONE, ONE_FD),
	ANSWERED(IOTLB_MSG, IOTLB, NO_FD, U64),
	RULE(SET_VRING_ENDIAN, STATE, NO_FD),
	ANSWERED(GET_CONFIG, CONFIG, NO_FD, CONFIG),
	RULE(SET_CONFIG, CONFIG, NO_FD),
	ANSWERED(CREATE_CRYPTO_SESSION, ANY, NO_FD, ANY),
	RULE(CLOSE_CRYPTO_SESSION, U64, NO_FD),
	ANSWERED(POSTCOPY_ADVISE, NONE, NO_FD, ANY),
	RULE(POSTCOPY_LISTEN, NONE, NO_FD),
	ANSWERED(POSTCOPY_END, NONE, NO_FD, U64),
	ANSWERED(GET_INFLIGHT_FD, INFLIGHT, NO_FD, INFLIGHT),
	RULE(SET_INFLIGHT_FD, INFLIGHT, ONE_FD),
	RULE(GPU_SET_SOCKET, NONE, ONE_FD),
	RULE(RESET_DEVICE, NONE, NO_FD),
	RULE(VRING_KICK, STATE, NO_FD),
	ANSWERED(GET_MAX_MEM_SLOTS, NONE, NO_FD, U64),
	RULE(ADD_MEM_REG, SINGLE, ONE_FD),
	RULE(REM_MEM_REG, SINGLE, MAYBE_FD), /* QEMU once sent one */
	RULE(SET_STATUS, U64, NO_FD),
	ANSWERED(GET_STATUS, NONE, NO_FD, U64),
	ANSWERED(GET_SHARED_OBJECT, ANY, NO_FD, ANY),
	ANSWERED(SET_DEVICE_STATE_FD, ANY, ONE_FD, U64),
	ANSWERED(CHECK_DEVICE_STATE, NONE, NO_FD, U64),
};

static const struct rule backend[] = {
	RULE(BACKEND_IOTLB_MSG, IOTLB, NO_FD),
	RULE(BACKEND_CONFIG_CHANGE_MSG, NONE, NO_FD),
	RULE(BACKEND_VRING_HOST_NOTIFIER_MSG, AREA, MAYBE_FD),
	RULE(BACKEND_VRING_CALL, STATE, NO_FD),
	RULE(BACKEND_VRING_ERR, STATE, NO_FD),
	RULE(BACKEND_SHARED_OBJECT_ADD, ANY, NO_FD),
	RULE(BACKEND_SHARED_OBJECT_REMOVE, ANY, NO_FD),
	ANSWERED(BACKEND_SHARED_OBJECT_LOOKUP, ANY, NO_FD, ANY),
};

static const struct rule *find(enum r3_vhost_user_asker asker, uint32_t request)
{
	const struct rule *rules = asker == R3_VHOST_USER_FRONTEND ? frontend : backend;
	size_t n = asker == R3_VHOST_USER_FRONTEND ? sizeof(frontend) : sizeof(backend);

	return request < n / sizeof(*rules) && rules[request].name ? &rules[request] : NULL;
}

const char *r3_vhost_user_name(enum r3_vhost_user_asker asker, uint32_t request)
{
	const struct rule *rule = find(asker, request);

	return rule ? rule->name : "unknown request";
}

bool r3_vhost_user_has_answer(enum r3_vhost_user_asker asker, uint32_t request)
{
	const struct rule *rule = find(asker, request);

	return rule && rule->answered;
}

int r3_vhost_user_check_header(const struct vhost_user_header *header)
{
	const struct r3_vhost_user_msg *msg;

	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return r3_error_set(EPROTO,
				    "vhost-user: message %u with flags 0x%x is not of version 1",
				    header->request, header->flags);
	if (header->size > sizeof(msg->payload))
		return r3_error_set(EPROTO,
				    "vhost-user: message %u of %u bytes: no message is so long",
				    header->request, header->size);
	return 0;
}

/* ---- payloads ---- */

/* What is in the payload says how long it has to be. */
static bool right_memory(const struct r3_vhost_user_msg *msg)
{
	const struct vhost_user_memory *memory = &msg->payload.memory;
	uint32_t size = msg->header.size;

	return size >= R3_VHOST_USER_MEMORY_SIZE(0) && memory->nregions <= VHOST_USER_MEM_REGIONS &&
	       (size == R3_VHOST_USER_MEMORY_SIZE(memory->nregions) || size == sizeof(*memory));
}

static bool right_config(const struct r3_vhost_user_msg *msg)
{
	const struct vhost_user_config *config = &msg->payload.config;

	return msg->header.size >= VHOST_USER_CONFIG_HEADER &&
	       config->size <= VHOST_USER_CONFIG_SIZE_MAX &&
	       msg->header.size == R3_VHOST_USER_CONFIG_SIZE(config->size);
}

static bool right_size(const struct r3_vhost_user_msg *msg, enum payload payload)
{
	const struct vhost_user_inflight *inflight = &msg->payload.inflight;
	uint32_t size = msg->header.size;

	switch (payload) {
	case NONE:
		return size == 0;
	case U64:
		return size == sizeof(uint64_t);
	case STATE:
		return size == sizeof(struct vhost_user_vring_state);
	case ADDR:
		return size == sizeof(struct vhost_user_vring_addr);
	case MEMORY:
		return right_memory(msg);
	case SINGLE:
		return size == sizeof(struct vhost_user_single_region);
	case CONFIG:
		return right_config(msg);
	case LOG:
		return size == sizeof(struct vhost_user_log) || size == sizeof(uint64_t);
	case IOTLB:
		return size == sizeof(struct vhost_user_iotlb);
	case AREA:
		return size == sizeof(struct vhost_user_vring_area);
	case INFLIGHT:
		return size == sizeof(*inflight) || size == sizeof(*inflight) - 4;
	case ANY:
		return true;
	}
	return false;
}

static bool right_fds(const struct r3_vhost_user_msg *msg, enum fds fds)
{
	uint32_t n = msg->nfds;

	switch (fds) {
	case NO_FD:
		return n == 0;
	case ONE_FD:
		return n == 1;
	case MAYBE_FD:
		return n <= 1;
	case REGION_FDS:
		return n == msg->payload.memory.nregions;
	case VRING_FD:
		return n == !(msg->payload.u64 & VHOST_USER_VRING_NOFD);
	}
	return false;
}

/* ---- whole messages ---- */

static int wrong(const char *what, const char *name, const struct r3_vhost_user_msg *msg)
{
	return r3_error_set(EPROTO, "vhost-user: %s %s of %u bytes with %u descriptors", what, name,
			    msg->header.size, msg->nfds);
}

int r3_vhost_user_check(enum r3_vhost_user_asker asker, const struct r3_vhost_user_msg *msg)
{
	const struct rule *rule = find(asker, msg->header.request);
	int rc = r3_vhost_user_check_header(&msg->header);

	if (rc < 0)
		return rc;
	if (msg->header.flags & VHOST_USER_FLAG_REPLY)
		return r3_error_set(EPROTO, "vhost-user: an answer, %s, that nobody asked for",
				    r3_vhost_user_name(asker, msg->header.request));
	if (!rule)
		return r3_error_set(EOPNOTSUPP, "vhost-user: there is no request %u",
				    msg->header.request);
	if (!right_size(msg, rule->payload) || !right_fds(msg, rule->fds))
		return wrong("a", rule->name, msg);
	return 0;
}

int r3_vhost_user_check_answer(enum r3_vhost_user_asker asker,
			       const struct r3_vhost_user_msg *asked,
			       const struct r3_vhost_user_msg *answer)
{
	const struct rule *rule = find(asker, asked->header.request);
	int rc = r3_vhost_user_check_header(&answer->header);

	if (rc < 0)
		return rc;
	if (!rule || answer->header.request != asked->header.request ||
	    !(answer->header.flags & VHOST_USER_FLAG_REPLY))
		return r3_error_set(EPROTO, "vhost-user: %s was answered by message %u, flags 0x%x",
				    r3_vhost_user_name(asker, asked->header.request),
				    answer->header.request, answer->header.flags);
	if (answer->nfds && rule->answer != ANY && rule->answer != INFLIGHT)
		return wrong("an answer to", rule->name, answer);
	if (rule->answered && rule->answer == CONFIG && !answer->header.size)
		return r3_error_set(EREMOTEIO, "vhost-user: the back-end refuses %s", rule->name);
	if (!right_size(answer, rule->answer))
		return wrong("an answer to", rule->name, answer);
	if (rule->answer == CONFIG && answer->payload.config.size != asked->payload.config.size)
		return wrong("another length in the answer to", rule->name, answer);
	if (!rule->answered && answer->payload.u64)
		return r3_error_set(EREMOTEIO, "vhost-user: the other side refuses %s", rule->name);
	return 0;
}

void r3_vhost_user_begin(struct r3_vhost_user_msg *msg, uint32_t request, uint32_t flags,
			 uint32_t size)
{
	msg->header = (struct vhost_user_header){request, flags | VHOST_USER_VERSION, size};
	msg->nfds = 0;
	memset(&msg->payload, 0, size);
}

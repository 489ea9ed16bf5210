/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back-end in a thread that answers as it should, notes what it was told, and tells one lie
 * on demand: for tests of the front-end.
 */
#ifndef RING3_BACKEND_VHOST_USER_TEST_RIG_H
#define RING3_BACKEND_VHOST_USER_TEST_RIG_H

#include "backend/vhost_user/vhost_user.h"
#include "unit.h"

#include <pthread.h>

enum lie {
	HONEST,
	REFUSE,   /* says no */
	HANG_UP,  /* instead of an answer, */
	SILENCE,  /* or nothing at all */
	SHORT,    /* an answer of 3 bytes less, */
	LONG,     /* or 5 more */
	EMPTY,    /* without a payload */
	OTHER,    /* to another request */
	NO_REPLY, /* that does not say that it is one */
	VERSION,  /* of another protocol */
	WITH_FD,  /* with a descriptor */
	HALF,     /* the first half of it, and then the end */
	TWICE,
	NLIES
};

struct heard {
	uint32_t request, nfds;
	struct r3_vhost_user_msg msg;
};

struct rig {
	/* the back-end, as it is to be */
	uint64_t features, protocol, queues;
	struct virtio_blk_config config;
	uint32_t config_most; /* no more is told */
	uint32_t lie_about;   /* request */
	enum lie lie;

	/* what it was told; to be read when the device is closed, or by rig_heard() */
	pthread_mutex_t lock;
	struct heard heard[512];
	unsigned nheard;
	int kick, call, err, channel; /* the last ones */

	pthread_t thread;
	int sock[2]; /* ours, and the device's until it is open */
	struct r3_device *dev;
	struct vuf_device *vuf;
	unsigned fds;
};

/** Zeroed but for what it is to be: see rig_init(). */
void rig_init(struct rig *rig);
/** Start the back-end and open the device. */
int rig_open(struct rig *rig, uint64_t timeout_ns);
/** Close the device, if it is open, and wait for the back-end. */
void rig_close(struct rig *rig);
/** How often the back-end heard @request; the last one in *last (may be NULL). */
unsigned rig_heard(struct rig *rig, uint32_t request, struct r3_vhost_user_msg *last);
/** Hang up, as a back-end does that dies. */
void rig_die(struct rig *rig);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* A front-end by hand, on a block device that does what the test says: for tests of the
 * back-end. It says what it likes, and writes into the rings what it likes. */
#ifndef RING3_SERVE_VHOST_USER_TEST_RIG_H
#define RING3_SERVE_VHOST_USER_TEST_RIG_H

#include "class/test_provider.h"
#include "ring/virtq.h"
#include "serve/vhost_user/vhost_user.h"
#include "unit.h"

#define RIG_SIZE   (UINT64_C(1) << 20) /* of its memory, */
#define RIG_GUEST  UINT64_C(0x10000000)
#define RIG_USER   UINT64_C(0x7f5500000000)
#define RIG_RING   16u
#define RIG_QUEUE  0x4000u /* bytes for a ring, from the beginning of the memory */
#define RIG_QUEUES 2u
#define RIG_DATA   (UINT64_C(64) << 10) /* behind the rings: what descriptors speak of */

struct rig {
	struct provider provider;
	struct r3_block_ops block_ops;
	struct r3_serve_block_opts opts;
	struct r3_serve_block *serve;
	unsigned event[8]; /* how often each was told */
	uint32_t code[8];  /* and the last code */
	bool over;         /* dispatch said so */
	unsigned fds;      /* descriptors before all of it */

	/* the front-end */
	struct r3_vhost_user_port port;
	uint64_t features;
	struct r3_mem *mem;
	unsigned char *base;
	struct r3_virtq q[RIG_QUEUES];
	struct r3_virtq_slot *slots[RIG_QUEUES];
	int kick[RIG_QUEUES], call[RIG_QUEUES], err[RIG_QUEUES];
};

/** A back-end with a connected front-end, which has not said anything yet. */
void rig_open(struct rig *rig);
/** Also checks that nothing is left over. */
void rig_close(struct rig *rig);
/** Let the back-end do what it has to do. */
void rig_pump(struct rig *rig);

/** Say something. */
void rig_send(struct rig *rig, const struct r3_vhost_user_msg *msg);
/** What the back-end says: 1 in rig->port.in, 0 nothing, -EPIPE it has hung up. */
int rig_hear(struct rig *rig);
/** Ask with NEED_REPLY, where there is no answer in the request's nature. Returns 0, or
 *  -EREMOTEIO it was refused, or -EPIPE. The answer is in @msg. */
int rig_ask(struct rig *rig, struct r3_vhost_user_msg *msg);
int rig_u64(struct rig *rig, uint32_t request, uint64_t value);
int rig_state(struct rig *rig, uint32_t request, uint32_t index, uint32_t num);
int rig_fd(struct rig *rig, uint32_t request, uint64_t value, int fd);

/** Features, memory, and @n rings, ready for requests. */
void rig_start(struct rig *rig, uint64_t features, unsigned n);
int rig_set_memory(struct rig *rig);
int rig_set_addr(struct rig *rig, unsigned queue);
int rig_start_queue(struct rig *rig, unsigned queue, uint32_t base);

/** A descriptor's piece at @off of the data. */
struct r3_dma_seg rig_seg(uint64_t off, uint64_t len);
void *rig_data(struct rig *rig, uint64_t off);
/** Write a request's header at @off of the data. */
void rig_header(struct rig *rig, uint64_t off, uint32_t type, uint64_t sector);
/** Push a chain of queue 0 and kick. */
void rig_push(struct rig *rig, uint16_t id, const struct r3_dma_seg *seg, unsigned nout,
	      unsigned nin);
void rig_kick(struct rig *rig, unsigned queue);
/** Pop one: its id, or -1; *len as the back-end says. */
int rig_pop(struct rig *rig, uint32_t *len);
/** A whole request in one piece of data, with its status at the end: the status. */
int rig_do(struct rig *rig, uint32_t type, uint64_t sector, uint64_t len);

/** The requests that the block device has. */
struct provider_queue *rig_block_queue(struct rig *rig, unsigned queue);
bool rig_signalled(int fd);

#endif

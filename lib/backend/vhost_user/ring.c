/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues in the back-end: what the registers say of them, in messages. */
#include "backend/vhost_user/vhost_user.h"

#include <ring3/spec/virtio_ring.h>

#define DRAIN_TIMEOUT R3_NSEC_PER_SEC

/* A ring as new: a packed one begins with both wrap counters at 1 (2.8.1). */
static uint32_t first_base(const struct vuf_device *vuf)
{
	if (!(vuf->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)))
		return 0;
	return VHOST_USER_PACKED_WRAP | VHOST_USER_PACKED_WRAP << VHOST_USER_PACKED_USED;
}

/* The user addresses of our memory are its device addresses: any that do not overlap do. */
static int set_addr(struct vuf_device *vuf, unsigned index)
{
	const struct vuf_queue *q = &vuf->queue[index];
	struct r3_vhost_user_msg msg;

	r3_vhost_user_begin(&msg, VHOST_USER_SET_VRING_ADDR, 0, sizeof(msg.payload.addr));
	msg.payload.addr = (struct vhost_user_vring_addr){
		.index = index, .descriptor = q->desc, .used = q->device, .available = q->driver};
	return vuf_ask(vuf, &msg);
}

int vuf_set_call(struct vuf_device *vuf, unsigned index)
{
	unsigned vector = vuf->queue[index].vector;
	int fd = vector < vuf->nvectors ? vuf->vector[vector] : -1;

	return vuf_tell_fd(vuf, VHOST_USER_SET_VRING_CALL,
			   index | (fd < 0 ? VHOST_USER_VRING_NOFD : 0), fd);
}

static int start(struct vuf_device *vuf, unsigned index)
{
	struct vuf_queue *q = &vuf->queue[index];
	int rc = vuf_tell_state(vuf, VHOST_USER_SET_VRING_NUM, index, q->size);

	if (rc == 0)
		rc = vuf_tell_state(vuf, VHOST_USER_SET_VRING_BASE, index, first_base(vuf));
	if (rc == 0)
		rc = set_addr(vuf, index);
	if (rc == 0)
		rc = vuf_tell_fd(vuf, VHOST_USER_SET_VRING_ERR, index, vuf->err);
	if (rc == 0)
		rc = vuf_set_call(vuf, index);
	if (rc < 0)
		return rc;
	q->started = true; /* to be stopped, even if it begins by halves */
	rc = vuf_tell_fd(vuf, VHOST_USER_SET_VRING_KICK, index, q->kick);
	return rc < 0 ? rc : vuf_tell_state(vuf, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

int vuf_start(struct vuf_device *vuf)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < vuf->nqueues; i++)
		if (vuf->queue[i].enabled && !vuf->queue[i].started)
			rc = start(vuf, i);
	return rc;
}

/* What lies at a device address of ours. */
static const void *memory_at(const struct vuf_device *vuf, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < VUF_REGIONS; i++) {
		const struct vuf_region *region = &vuf->region[i];
		uint64_t off = iova - region->iova;

		if (off < region->len && len <= region->len - off)
			return (const uint8_t *)r3_mem_addr(region->mem) + region->off + off;
	}
	return NULL;
}

/* qemu-storage-daemon, up to 7.2 at least, stops a ring without waiting for what it has in
 * flight, and writes its memory, and into its used ring, later. So it is asked only when it
 * has nothing, or takes too long for it. Of packed rings it knows nothing. */
static void wait_for_used(struct vuf_device *vuf, const struct vuf_queue *q)
{
	const struct virtq_avail *avail = memory_at(vuf, q->driver, sizeof(*avail));
	const struct virtq_used *used = memory_at(vuf, q->device, sizeof(*used));
	struct r3_wait wait = r3_wait_begin(vuf->base.clock, DRAIN_TIMEOUT);

	if (vuf->features & VIRTIO_FEATURE(VIRTIO_F_RING_PACKED) || !avail || !used)
		return;
	while (__atomic_load_n(&used->idx, __ATOMIC_RELAXED) !=
		       __atomic_load_n(&avail->idx, __ATOMIC_RELAXED) &&
	       r3_wait_step(&wait))
		continue;
}

int vuf_stop(struct vuf_device *vuf)
{
	int rc = 0;

	for (unsigned i = 0; i < vuf->nqueues && !vuf->lost; i++) {
		struct vuf_queue *q = &vuf->queue[i];

		if (!q->started)
			continue;
		q->started = false;
		wait_for_used(vuf, q);
		rc = vuf_tell_state(vuf, VHOST_USER_GET_VRING_BASE, i, 0);
		if (rc < 0) /* it may still use what will be somebody else's */
			vuf_lose(vuf, "a ring does not stop");
	}
	return rc;
}

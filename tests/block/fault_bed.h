/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block device of QEMU's to do harm to: a queue, memory, and requests of which each is
 * known to have completed once.
 */
#ifndef RING3_TESTS_FAULT_BED_H
#define RING3_TESTS_FAULT_BED_H

#include "unit.h"

#include <ring3/block.h>
#include <ring3/error.h>
#include <sys/types.h>

#define REQUESTS 32
#define BLOCK    4096u
#define SECONDS  R3_NSEC_PER_SEC

/** What this run is about: its queues' mode, and the address that the tests add keys to. */
extern enum r3_blkq_mode faults_mode;
extern const char *faults_device;
bool faults_virtio(void);

struct bed {
	struct r3_block *block;
	struct r3_device *dev;
	struct r3_blkq *queue;
	pid_t pid;
	unsigned char *mem;
	struct r3_sg sg[REQUESTS];
	struct r3_blk_req req[REQUESTS], *list[REQUESTS];
	unsigned times[REQUESTS]; /* completed since it was submitted: 0 or 1 */
	unsigned flying, completed;
	unsigned events[R3_BLOCK_EVENT_WARNING + 1]; /* by type */
};

/** Fail the test unless @rc is @want, with the library's text. */
void bed_expect(int rc, int want, const char *what);

/** Open faults_device with more @keys, and a queue. */
void bed_open(struct bed *bed, const char *keys, uint64_t timeout_ns);

/** Another queue for it, once the first is closed. */
void bed_open_queue(struct bed *bed);

/** Close, in bounded time, and leave no process. */
void bed_close(struct bed *bed);

/** Submit @n requests of one block each, all to different ones, and start them. */
void bed_send(struct bed *bed, enum r3_blk_op op, unsigned n);

/** Submit again whatever of all requests is not in flight, reads and writes by turns, and
 *  start it. The first time after bed_open() that is all. 0, or -ENODEV. */
int bed_refill(struct bed *bed);

/** One turn of an event loop. */
void bed_turn(struct bed *bed);

/** Turn until all requests are done (@event 0), or @event has come. */
void bed_run_until(struct bed *bed, unsigned event, uint64_t limit_ns);

/** The same for a time. */
void bed_run_for(struct bed *bed, uint64_t ns);

/** All @n requests are done, each with @err. */
void bed_check_all(struct bed *bed, unsigned n, int err);

/** All @n requests are done; the device went away before or after. */
void bed_check_ended(struct bed *bed, unsigned n);

/** The device is gone for good: it says so at every door. */
void bed_check_gone(struct bed *bed);

/** Write, read back and compare: the device works. */
void bed_check_works(struct bed *bed);

/** Let @iops requests a second through, so that the others are in flight for certain;
 *  0: all. QEMU lets them go when it has to drain, as a reset makes it. */
void bed_throttle(struct bed *bed, unsigned iops);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the budgets are measured on: a driver on a stub device whose doorbells are memory,
 * as those of a real device are, by a program that does nothing else. The device works
 * between the program's calls, so that nothing of it is in what is measured.
 */
#ifndef RING3_BUDGET_RIG_H
#define RING3_BUDGET_RIG_H

#include <ring3/block.h>

#define RIG_DEPTH 32u
#define RIG_LEN   4096u

struct rig;

/** Told when the library begins to run (true) and when it ends, because the device or the
 *  program goes on. */
typedef void rig_watch(bool library);

/** @device: "nvme", "virtio-blk-split" or "virtio-blk-packed". @foreign: the data lies in
 *  memory that is not the device's, and is bounced. Returns NULL, having said why, when
 *  there is no such thing. */
struct rig *rig_open(const char *device, rig_watch *watch, bool foreign);
void rig_close(struct rig *rig);

/** One batch: submit @depth reads of RIG_LEN, kick, reap them all, in as many calls as
 *  a program makes that has nothing else to do. False, having said why: it failed. */
bool rig_batch(struct rig *rig, unsigned depth);

/** Why the last batch failed, without a system call; NULL: it did not. */
const char *rig_failure(const struct rig *rig);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What NVMe offers beyond a block device: the controller itself. Layouts are in
 * spec/nvme.h. All calls are for the thread of the block handle, and block for a
 * bounded time (the admin time-out: that of the options, at least 1 s; else 5 s).
 */
#ifndef RING3_NVME_H
#define RING3_NVME_H

#include <ring3/block.h>
#include <ring3/spec/nvme.h>

R3_BEGIN

struct r3_nvme;

/** A controller, reset and identified, without I/O queues. Owns @dev on success. */
R3_API int r3_nvme_open(struct r3_device *dev, const struct r3_block_opts *opts,
			struct r3_nvme **out);
/** Orderly shutdown (CC.SHN). Blocks made of it must have been closed. */
R3_API void r3_nvme_close(struct r3_nvme *nvme);

/** The controller behind a block device; NULL when it is no NVMe namespace. */
R3_API struct r3_nvme *r3_nvme_of(struct r3_block *block);

/** A namespace as a block device. Several may be open at once.
 *  Errors: ENODEV inactive namespace; EIO an absurd format. */
R3_API int r3_nvme_namespace(struct r3_nvme *nvme, uint32_t nsid, struct r3_block **out);

/** Active namespace ids in ascending order into @nsid. Returns how many there are. */
R3_API int r3_nvme_namespaces(struct r3_nvme *nvme, uint32_t *nsid, unsigned max);

/** The Identify Controller data read when the controller was enabled. */
R3_API const struct nvme_id_ctrl *r3_nvme_id(const struct r3_nvme *nvme);

/** Any admin command: @cmd's dwords 0 (opcode), 1 (nsid), 10..15 are the caller's; cid
 *  and data pointer are filled in. @data of @len bytes (at most the controller's
 *  transfer limit; may be NULL and 0) goes to or from the controller as the opcode's
 *  low two bits say. *result (may be NULL) gets completion dword 0. Commands that the
 *  driver depends on (create and delete queue, asynchronous event) are refused, and a
 *  format while there are queues. After it, a namespace of another block size is gone.
 *  Errors: EIO the command failed (*status, if not NULL, has SC | SCT << 8); EPERM
 *  refused; EBUSY there are queues; ETIMEDOUT aborted; EINVAL; ENODEV. */
R3_API int r3_nvme_admin(struct r3_nvme *nvme, const struct nvme_cmd *cmd, void *data, uint32_t len,
			 uint32_t *result, uint32_t *status);

/** Read bytes [@off, @off+@len) of log page @lid; both multiples of 4. */
R3_API int r3_nvme_log(struct r3_nvme *nvme, uint8_t lid, uint32_t nsid, uint64_t off, void *buf,
		       uint32_t len);

R3_END
#endif

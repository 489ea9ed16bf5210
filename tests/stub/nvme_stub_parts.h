/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the stub; all of it runs under the lock of the fake device. */
#ifndef NVME_STUB_PARTS_H
#define NVME_STUB_PARTS_H

#include "stub/nvme_stub.h"

#define STUB_NO_SQ UINT16_MAX

static inline uint32_t nvme_stub_page(const struct nvme_stub *stub)
{
	return 4096u << stub->opts.mps;
}

/** Post the completion of a command. */
void nvme_stub_complete(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
			unsigned status, uint32_t dw0);

/** Execute and complete an admin command. */
void nvme_stub_admin(struct nvme_stub *stub, const struct nvme_cmd *cmd);

/** Move @len bytes between @data and what the command's data pointer describes. @data
 *  NULL: only walk it. Returns a status. */
unsigned nvme_stub_transfer(struct nvme_stub *stub, const struct nvme_cmd *cmd, uint8_t *data,
			    uint32_t len, bool to_host);

/** Execute an NVM command. Returns its status. */
unsigned nvme_stub_io(struct nvme_stub *stub, const struct nvme_cmd *cmd);

#endif

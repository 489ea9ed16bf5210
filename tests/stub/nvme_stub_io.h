/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub's data path. */
#ifndef NVME_STUB_IO_H
#define NVME_STUB_IO_H

#include "stub/nvme_stub.h"

/** Move @len bytes between @data and what the command's data pointer describes. @data
 *  NULL: only walk it. Returns a status. */
unsigned nvme_stub_transfer(struct nvme_stub *stub, const struct nvme_cmd *cmd, uint8_t *data,
			    uint32_t len, bool to_host);

/** Execute an NVM command. Returns its status. */
unsigned nvme_stub_io(struct nvme_stub *stub, const struct nvme_cmd *cmd);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub's data path: PRPs and SGLs walked strictly, blocks in memory. */
#include "stub/nvme_stub_parts.h"

#include <string.h>

static unsigned move(struct nvme_stub *stub, uint64_t iova, uint8_t *data, uint32_t len,
		     bool to_host)
{
	void *at = fake_device_reach(stub->fake, iova, len,
				     to_host ? R3_DMA_DEVICE_WRITE : R3_DMA_DEVICE_READ);

	if (!at) {
		stub->faults++;
		return NVME_SC_DATA_XFER_ERROR;
	}
	if (data)
		memcpy(to_host ? at : data, to_host ? data : at, len);
	return 0;
}

static uint8_t *forward(uint8_t *data, uint32_t len)
{
	return data ? data + len : NULL;
}

static unsigned move_prps(struct nvme_stub *stub, const struct nvme_cmd *cmd, uint8_t *data,
			  uint32_t len, bool to_host)
{
	const uint32_t page = nvme_stub_page(stub);
	uint64_t at = R3_LE64(cmd->dptr.prp[0]);
	uint32_t step = page - (uint32_t)(at % page);
	const uint64_t *list = &cmd->dptr.prp[1];
	unsigned status;

	if (at & 3)
		return NVME_SC_PRP_INVALID_OFFSET;
	if (len > step && len - step > page) {
		uint32_t pages = (len - step + page - 1) / page;
		uint64_t where = R3_LE64(cmd->dptr.prp[1]);

		/* One list that does not cross a page is all the driver makes. */
		if (where & 7 || where % page + pages * sizeof(*list) > page)
			return NVME_SC_PRP_INVALID_OFFSET;
		list = fake_device_reach(stub->fake, where, pages * sizeof(*list),
					 R3_DMA_DEVICE_READ);
		if (!list) {
			stub->faults++;
			return NVME_SC_DATA_XFER_ERROR;
		}
		stub->prp_lists++;
	}
	for (;;) {
		uint32_t n = len < step ? len : step;

		status = move(stub, at, data, n, to_host);
		if (status)
			return status;
		data = forward(data, n);
		len -= n;
		if (!len)
			return 0;
		at = R3_LE64(*list++);
		step = page;
		if (at % page)
			return NVME_SC_PRP_INVALID_OFFSET;
	}
}

static unsigned move_sgl(struct nvme_stub *stub, const struct nvme_cmd *cmd, uint8_t *data,
			 uint32_t len, bool to_host)
{
	const struct nvme_sgl_desc *desc = &cmd->dptr.sgl;
	unsigned n = 1, status;

	stub->sgls++;
	if (!stub->opts.sgl)
		return NVME_SC_INVALID_FIELD;
	if (desc->type == NVME_SGL_LAST_SEGMENT) {
		n = R3_LE32(desc->len) / sizeof(*desc);
		desc = fake_device_reach(stub->fake, R3_LE64(desc->addr), R3_LE32(desc->len),
					 R3_DMA_DEVICE_READ);
		if (!desc || !n)
			return NVME_SC_SGL_INVALID_LAST;
	}
	for (; n && len; n--, desc++) {
		uint64_t at = R3_LE64(desc->addr);
		uint32_t piece = R3_LE32(desc->len);

		if (desc->type != NVME_SGL_DATA || piece > len)
			return NVME_SC_SGL_INVALID_TYPE;
		if (stub->opts.sgl == NVME_SGLS_DWORD && (at | piece) & 3)
			return NVME_SC_SGL_INVALID_DATA;
		status = move(stub, at, data, piece, to_host);
		if (status)
			return status;
		data = forward(data, piece);
		len -= piece;
	}
	return n || len ? NVME_SC_SGL_INVALID_DATA : 0;
}

unsigned nvme_stub_transfer(struct nvme_stub *stub, const struct nvme_cmd *cmd, uint8_t *data,
			    uint32_t len, bool to_host)
{
	if (cmd->flags & NVME_CMD_PSDT_SGL)
		return move_sgl(stub, cmd, data, len, to_host);
	return move_prps(stub, cmd, data, len, to_host);
}

static unsigned deallocate(struct nvme_stub *stub, struct nvme_stub_ns *ns,
			   const struct nvme_cmd *cmd)
{
	struct nvme_dsm_range range[NVME_DSM_RANGES];
	unsigned n = (cmd->cdw10 & 0xff) + 1;
	unsigned status = nvme_stub_transfer(stub, cmd, (uint8_t *)range,
					     (uint32_t)(n * sizeof(range[0])), false);

	for (unsigned i = 0; !status && i < n; i++) {
		uint64_t slba = R3_LE64(range[i].slba);
		uint32_t nlb = R3_LE32(range[i].nlb);

		if (slba > ns->blocks || nlb > ns->blocks - slba)
			return NVME_SC_LBA_RANGE;
		stub->deallocated += nlb;
		if (ns->data && (cmd->cdw11 & NVME_DSM_AD))
			memset(ns->data + (slba << stub->opts.lba_shift), 0,
			       (size_t)nlb << stub->opts.lba_shift);
	}
	return status;
}

unsigned nvme_stub_io(struct nvme_stub *stub, const struct nvme_cmd *cmd)
{
	struct nvme_stub_ns *ns = &stub->ns[(cmd->nsid - 1) % STUB_NAMESPACES];
	unsigned shift = stub->opts.lba_shift;
	uint64_t slba = cmd->cdw10 | (uint64_t)cmd->cdw11 << 32;
	uint32_t nlb = (cmd->cdw12 & 0xffff) + 1;

	if (!cmd->nsid || cmd->nsid > STUB_NAMESPACES || !ns->blocks)
		return NVME_SC_INVALID_NS;
	if (cmd->opcode == NVME_CMD_FLUSH && (cmd->cdw10 || cmd->cdw11 || cmd->cdw12))
		return NVME_SC_INVALID_FIELD; /* reserved */
	if (cmd->opcode == NVME_CMD_FLUSH) {
		stub->flushes++;
		return 0;
	}
	if (cmd->opcode == NVME_CMD_DSM)
		return deallocate(stub, ns, cmd);
	if (slba >= ns->blocks || nlb > ns->blocks - slba)
		return NVME_SC_LBA_RANGE;

	uint8_t *at = ns->data ? ns->data + (slba << shift) : NULL;
	uint32_t len = nlb << shift;

	if (stub->opts.mdts && len > nvme_stub_page(stub) << stub->opts.mdts &&
	    cmd->opcode <= NVME_CMD_READ)
		return NVME_SC_INVALID_FIELD;
	stub->fua += !!(cmd->cdw12 & NVME_RW_FUA);
	switch (cmd->opcode) {
	case NVME_CMD_READ:
		return nvme_stub_transfer(stub, cmd, at, len, true);
	case NVME_CMD_WRITE:
		return nvme_stub_transfer(stub, cmd, at, len, false);
	case NVME_CMD_WRITE_ZEROES:
		stub->deac += !!(cmd->cdw12 & NVME_RW_DEAC);
		if (at)
			memset(at, 0, len);
		return 0;
	default:
		return NVME_SC_INVALID_OPCODE;
	}
}

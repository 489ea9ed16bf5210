/* SPDX-License-Identifier: BSD-2-Clause */
/* The stub controller: registers, doorbells, completions and interrupts. */
#include "stub/nvme_stub_parts.h"

#include <linux/pci_regs.h>
#include <ring3/irq.h>
#include <stdlib.h>
#include <string.h>

/* ---- completions and interrupts ---- */

static bool pin_wanted(const struct nvme_stub *stub)
{
	for (unsigned i = 0; i <= STUB_QUEUES; i++)
		if (stub->cq[i].size && stub->cq[i].irq && stub->cq[i].head != stub->cq[i].tail)
			return !(stub->intms & 1);
	return false;
}

static void update_pin(struct nvme_stub *stub)
{
	if (stub->fake->irq_type != R3_IRQ_INTX)
		return;
	if (!pin_wanted(stub)) {
		fake_device_lower(stub->fake);
	} else if (!stub->fake->intx_up) {
		stub->interrupts++;
		fake_device_raise(stub->fake, R3_IRQ_INTX, 0);
	}
}

static void signal_vector(struct nvme_stub *stub, struct nvme_stub_cq *cq)
{
	cq->quiet = 0;
	stub->interrupts++;
	fake_device_raise(stub->fake, stub->fake->irq_type, cq->vector);
}

static bool keep_back(struct nvme_stub *stub, struct nvme_stub_cq *cq)
{
	if (!stub->coalesce || cq == &stub->cq[0] || stub->not_coalesced[cq->vector])
		return false;
	return ++cq->quiet <= (stub->coalesce & 0xff);
}

void nvme_stub_coalesced(struct nvme_stub *stub)
{
	pthread_mutex_lock(&stub->fake->lock);
	for (unsigned i = 1; i <= STUB_QUEUES; i++)
		if (stub->cq[i].quiet)
			signal_vector(stub, &stub->cq[i]);
	pthread_mutex_unlock(&stub->fake->lock);
}

void nvme_stub_post(struct nvme_stub *stub, uint16_t cqid, struct nvme_cqe cqe)
{
	struct nvme_stub_cq *cq = &stub->cq[cqid];
	struct nvme_cqe *at = fake_device_reach(stub->fake, cq->base + cq->tail * sizeof(cqe),
						sizeof(cqe), R3_DMA_DEVICE_WRITE);
	uint16_t next = (uint16_t)((cq->tail + 1) % (cq->size ? cq->size : 1));

	if (!cq->size || next == cq->head || !at) {
		stub->mistakes++;
		return;
	}
	at->dw0 = R3_LE32(cqe.dw0);
	at->dw1 = R3_LE32(cqe.dw1);
	at->sqhd = R3_LE16(cqe.sqhd);
	at->sqid = R3_LE16(cqe.sqid);
	at->cid = R3_LE16(cqe.cid);
	/* The driver looks at the phase first. */
	__atomic_store_n(&at->sf, R3_LE16((cqe.sf & ~1u) | cq->phase), __ATOMIC_RELEASE);
	cq->tail = next;
	if (!next)
		cq->phase ^= 1;
	if (!cq->irq)
		return;
	if (stub->fake->irq_type == R3_IRQ_INTX)
		update_pin(stub);
	else if (!keep_back(stub, cq))
		signal_vector(stub, cq);
}

void nvme_stub_complete(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd,
			unsigned status, uint32_t dw0)
{
	struct nvme_cqe cqe = {.dw0 = dw0,
			       .sqhd = stub->sq[sqid].head,
			       .sqid = sqid,
			       .cid = cmd->cid,
			       .sf = (uint16_t)(status << 1)};

	if (stub->hooks && stub->hooks->complete && !stub->hooks->complete(stub, sqid, cmd, &cqe))
		return;
	nvme_stub_post(stub, stub->sq[sqid].cqid, cqe);
}

/* ---- fetching ---- */

static void execute(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	if (sqid)
		nvme_stub_complete(stub, sqid, cmd, nvme_stub_io(stub, cmd), 0);
	else
		nvme_stub_admin(stub, cmd);
}

static void hold(struct nvme_stub *stub, uint16_t sqid, const struct nvme_cmd *cmd)
{
	for (unsigned i = 0; i < STUB_HELD; i++) {
		if (stub->held[i].sqid != STUB_NO_SQ)
			continue;
		stub->held[i].sqid = sqid;
		stub->held[i].cmd = *cmd;
		return;
	}
	stub->mistakes++;
}

unsigned nvme_stub_held(struct nvme_stub *stub)
{
	unsigned n = 0;

	for (unsigned i = 0; i < STUB_HELD; i++)
		n += stub->held[i].sqid != STUB_NO_SQ;
	return n;
}

void nvme_stub_release(struct nvme_stub *stub, unsigned n)
{
	pthread_mutex_lock(&stub->fake->lock);
	for (unsigned i = 0; i < STUB_HELD; i++) {
		struct nvme_cmd cmd = stub->held[i].cmd;
		uint16_t sqid = stub->held[i].sqid;

		if (sqid == STUB_NO_SQ || n--)
			continue;
		stub->held[i].sqid = STUB_NO_SQ;
		execute(stub, sqid, &cmd);
		break;
	}
	pthread_mutex_unlock(&stub->fake->lock);
}

static struct nvme_cmd decode(const struct nvme_cmd *at)
{
	struct nvme_cmd cmd = *at;

	cmd.cid = R3_LE16(cmd.cid);
	cmd.nsid = R3_LE32(cmd.nsid);
	cmd.cdw2 = R3_LE32(cmd.cdw2);
	cmd.cdw3 = R3_LE32(cmd.cdw3);
	cmd.mptr = R3_LE64(cmd.mptr);
	cmd.cdw10 = R3_LE32(cmd.cdw10);
	cmd.cdw11 = R3_LE32(cmd.cdw11);
	cmd.cdw12 = R3_LE32(cmd.cdw12);
	cmd.cdw13 = R3_LE32(cmd.cdw13);
	cmd.cdw14 = R3_LE32(cmd.cdw14);
	cmd.cdw15 = R3_LE32(cmd.cdw15);
	return cmd;
}

static void fetch(struct nvme_stub *stub, uint16_t sqid)
{
	struct nvme_stub_sq *sq = &stub->sq[sqid];

	while (sq->size && sq->head != sq->tail) {
		const struct nvme_cmd *at =
			fake_device_reach(stub->fake, sq->base + sq->head * sizeof(*at),
					  sizeof(*at), R3_DMA_DEVICE_READ);

		if (!at) {
			stub->faults++;
			stub->csts |= NVME_CSTS_CFS;
			return;
		}

		const struct nvme_cmd cmd = decode(at);

		stub->commands++;
		sq->head = (uint16_t)(sq->head + 1 == sq->size ? 0 : sq->head + 1);
		if (stub->hooks && stub->hooks->fetch && !stub->hooks->fetch(stub, sqid, &cmd))
			hold(stub, sqid, &cmd);
		else
			execute(stub, sqid, &cmd);
	}
}

static void doorbell(struct nvme_stub *stub, uint64_t off, uint32_t value)
{
	unsigned index = (unsigned)((off - NVME_REG_DOORBELL) / (4u << NVME_CAP_DSTRD(stub->cap)));
	unsigned qid = index / 2;

	stub->doorbells++;
	if (qid > STUB_QUEUES || value >= (index & 1 ? stub->cq[qid].size : stub->sq[qid].size)) {
		stub->mistakes++;
		return;
	}
	if (index & 1) {
		stub->cq[qid].head = (uint16_t)value;
		update_pin(stub);
	} else if (stub->csts & NVME_CSTS_RDY) {
		stub->sq[qid].tail = (uint16_t)value;
		fetch(stub, (uint16_t)qid);
	}
}

/* ---- doorbells that are memory ---- */

/* So far apart, each queue has a page to itself, and those of the admin queue are not in
 * the pages that are mapped: its commands are executed in their doorbell still. */
#define MAPPED_DSTRD 9u
#define PAGE         4096u
#define NOT_RUNG     UINT32_MAX

static uint32_t *mapped_doorbell(struct nvme_stub *stub, unsigned qid, bool is_cq)
{
	uint8_t *bar = r3_mem_addr(stub->fake->bar[0].mem);

	return (uint32_t *)(bar + NVME_REG_DOORBELL + qid * PAGE + (is_cq ? PAGE / 2 : 0));
}

static void map_doorbells(struct nvme_stub *stub)
{
	struct fake_bar *bar = &stub->fake->bar[0];

	bar->nareas = 1;
	bar->area[0].off = NVME_REG_DOORBELL + PAGE;
	bar->area[0].len = stub->opts.queues * PAGE;
}

/* What was rung before a reset is not heeded after it. */
static void silence_doorbells(struct nvme_stub *stub)
{
	const struct fake_bar *bar = &stub->fake->bar[0];

	if (bar->nareas)
		memset(mapped_doorbell(stub, 1, false), 0xff, bar->area[0].len);
}

static bool is_rung(struct nvme_stub *stub, unsigned qid, bool is_cq)
{
	return __atomic_load_n(mapped_doorbell(stub, qid, is_cq), __ATOMIC_RELAXED) != NOT_RUNG;
}

static uint32_t take_doorbell(struct nvme_stub *stub, unsigned qid, bool is_cq)
{
	return __atomic_exchange_n(mapped_doorbell(stub, qid, is_cq), NOT_RUNG, __ATOMIC_ACQ_REL);
}

static void heed(struct nvme_stub *stub, unsigned qid, bool is_cq, uint32_t value)
{
	const uint8_t *bar = r3_mem_addr(stub->fake->bar[0].mem);
	const uint8_t *at = (const uint8_t *)mapped_doorbell(stub, qid, is_cq);

	if (value != NOT_RUNG)
		doorbell(stub, (uint64_t)(at - bar), R3_LE32(value));
}

void nvme_stub_run(struct nvme_stub *stub)
{
	pthread_mutex_lock(&stub->fake->lock);
	for (unsigned qid = 1; stub->opts.mapped && qid <= stub->opts.queues; qid++) {
		/* A driver makes room by one, then asks for more by the other: whoever has seen
		 * the second sees the first, and heeds it first. */
		uint32_t tail = take_doorbell(stub, qid, false);

		heed(stub, qid, true, take_doorbell(stub, qid, true));
		heed(stub, qid, false, tail);
	}
	pthread_mutex_unlock(&stub->fake->lock);
}

static bool any_is_rung(const struct fake_device *fake)
{
	struct nvme_stub *stub = fake->user;

	for (unsigned qid = 1; qid <= stub->opts.queues; qid++)
		if (is_rung(stub, qid, true) || is_rung(stub, qid, false))
			return true;
	return false;
}

static void take_turn(struct fake_device *fake)
{
	nvme_stub_run(fake->user);
}

/* ---- registers ---- */

static void reset(struct nvme_stub *stub)
{
	memset(stub->sq, 0, sizeof(stub->sq));
	memset(stub->cq, 0, sizeof(stub->cq));
	for (unsigned i = 0; i < STUB_HELD; i++)
		stub->held[i].sqid = STUB_NO_SQ;
	stub->event_armed = false;
	stub->coalesce = 0;
	memset(stub->not_coalesced, 0, sizeof(stub->not_coalesced));
	stub->csts = 0;
	stub->intms = 0;
	silence_doorbells(stub);
	update_pin(stub);
}

static void configure(struct nvme_stub *stub, uint32_t cc)
{
	bool was = stub->cc & NVME_CC_EN, is = cc & NVME_CC_EN;

	stub->cc = cc;
	if (was && !is)
		reset(stub);
	if (!was && is && (cc >> 7 & 0xf) != stub->opts.mps) {
		stub->mistakes++; /* not the page size */
		stub->csts |= NVME_CSTS_CFS;
	} else if (!was && is) {
		stub->enables++;
		stub->sq[0] = (struct nvme_stub_sq){.base = stub->asq,
						    .size = (uint16_t)((stub->aqa & 0xfff) + 1)};
		stub->cq[0] = (struct nvme_stub_cq){.base = stub->acq,
						    .size = (uint16_t)((stub->aqa >> 16) + 1),
						    .phase = 1,
						    .irq = true};
		stub->csts |= NVME_CSTS_RDY;
	}
	if (cc & NVME_CC_SHN_MASK)
		stub->csts |= NVME_CSTS_SHST_COMPLETE;
}

static uint64_t read_register(const struct nvme_stub *stub, uint64_t off)
{
	switch (off) {
	case NVME_REG_CAP:
		return stub->cap;
	case NVME_REG_VS:
		return NVME_VS(1, 4, 0);
	case NVME_REG_CC:
		return stub->cc;
	case NVME_REG_CSTS:
		return stub->csts;
	default:
		return 0;
	}
}

static void write_register(struct nvme_stub *stub, uint64_t off, uint64_t value)
{
	switch (off) {
	case NVME_REG_INTMS:
		stub->intms |= (uint32_t)value;
		update_pin(stub);
		break;
	case NVME_REG_INTMC:
		stub->intms &= ~(uint32_t)value;
		update_pin(stub);
		break;
	case NVME_REG_CC:
		configure(stub, (uint32_t)value);
		break;
	case NVME_REG_AQA:
		stub->aqa = (uint32_t)value;
		break;
	case NVME_REG_ASQ:
		stub->asq = value;
		break;
	case NVME_REG_ACQ:
		stub->acq = value;
		break;
	default:
		stub->mistakes++;
	}
}

static bool access_bar(struct fake_device *fake, unsigned index, uint64_t off, unsigned width,
		       uint64_t *value, bool write)
{
	struct nvme_stub *stub = fake->user;

	if (index != R3_REGION_BAR0)
		return false;
	fake_device_heed(fake);
	pthread_mutex_lock(&stub->fake->lock);
	if (off >= NVME_REG_DOORBELL && write) {
		doorbell(stub, off, (uint32_t)*value);
	} else if (write) {
		write_register(stub, off, *value);
	} else {
		*value = read_register(stub, off);
		if (stub->hooks && stub->hooks->read)
			stub->hooks->read(stub, off, value);
	}
	pthread_mutex_unlock(&stub->fake->lock);
	return true;
}

/* ---- life ---- */

static struct nvme_stub *stub_of(struct r3_device *dev)
{
	return ((struct fake_device *)dev)->user;
}

static void stub_close(struct r3_device *dev)
{
	struct nvme_stub *stub = stub_of(dev);

	fake_device_stop(stub->fake);
	for (unsigned i = 0; i < STUB_NAMESPACES; i++)
		free(stub->ns[i].data);
	stub->below->close(dev);
	free(stub);
}

static int stub_reset(struct r3_device *dev, enum r3_reset how)
{
	struct nvme_stub *stub = stub_of(dev);

	pthread_mutex_lock(&stub->fake->lock);
	stub->cc = 0;
	reset(stub);
	pthread_mutex_unlock(&stub->fake->lock);
	return stub->below->reset(dev, how);
}

static struct nvme_stub_opts defaults(const struct nvme_stub_opts *opts)
{
	struct nvme_stub_opts all = opts ? *opts : (struct nvme_stub_opts){.vectors = 16};

	if (!all.namespaces)
		all.namespaces = 1;
	if (!all.lba_shift)
		all.lba_shift = 9;
	if (!all.size)
		all.size = 16 << 20;
	if (!all.queues)
		all.queues = 8;
	if (!all.mqes)
		all.mqes = 1023;
	all.mapped |= all.thread;
	if (!all.bar)
		all.bar = all.mapped ? (uint64_t)(STUB_QUEUES * 2) * PAGE : 16384;
	return all;
}

struct nvme_stub *nvme_stub_new(const struct nvme_stub_opts *opts, struct r3_clock *clock)
{
	const struct r3_open_opts open = {.size = sizeof(open), .clock = clock};
	struct nvme_stub *stub = calloc(1, sizeof(*stub));
	struct fake_device *fake = fake_device_new(&open);

	if (!stub || !fake)
		abort();
	stub->opts = defaults(opts);
	stub->fake = fake;
	stub->below = fake->base.ops;
	stub->ops = *fake->base.ops;
	stub->ops.close = stub_close;
	stub->ops.reset = stub_reset;

	/* CQR, TO 1 s, the NVM command set, one page size */
	stub->cap = stub->opts.mqes | UINT64_C(1) << 16 | UINT64_C(2) << 24 |
		    (uint64_t)NVME_CAP_CSS_NVM << 37 | (uint64_t)stub->opts.mps * 0x11 << 48;
	if (stub->opts.mapped)
		stub->cap |= (uint64_t)MAPPED_DSTRD << 32;
	for (unsigned i = 0; i < stub->opts.namespaces; i++) {
		struct nvme_stub_ns *ns = &stub->ns[i];

		ns->size = stub->opts.size;
		ns->blocks = ns->size >> stub->opts.lba_shift;
		ns->data = stub->opts.null ? NULL : calloc(1, ns->size);
	}
	fake->base.ops = &stub->ops;
	fake->user = stub;
	fake->access = access_bar;
	fake->config[PCI_CLASS_PROG] = 0x02;
	fake->config[PCI_CLASS_DEVICE] = 0x08;
	fake->config[PCI_CLASS_DEVICE + 1] = 0x01;
	fake->base.info.nirqs[R3_IRQ_MSI] = stub->opts.msi;
	fake->base.info.nirqs[R3_IRQ_MSIX] = stub->opts.vectors;
	if (fake_device_set_bar(fake, 0, stub->opts.bar,
				R3_REGION_READ | R3_REGION_WRITE | R3_REGION_64BIT |
					(stub->opts.mapped ? R3_REGION_MAPPABLE : 0u)) < 0)
		abort();
	if (stub->opts.mapped)
		map_doorbells(stub);
	reset(stub);
	if (fake_device_adopt(fake) < 0 ||
	    (stub->opts.thread && fake_device_start(fake, any_is_rung, take_turn) < 0))
		abort();
	return stub;
}

struct r3_device *nvme_stub_device(struct nvme_stub *stub)
{
	return &stub->fake->base;
}

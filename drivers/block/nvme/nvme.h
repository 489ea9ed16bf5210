/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe driver from inside: a controller, its admin queue, its I/O queues and its
 * namespaces. What it shares with other drivers, and which thread may do what, is told
 * in class/ctrl.h.
 *
 * Reading order: ctrl.c (registers, reset, identify), admin.c, queue.c, io.c with
 * prp.c and sgl.c (the data path), event.c (what happens by itself), ns.c, driver.c.
 */
#ifndef NVME_NVME_H
#define NVME_NVME_H

#include "class/ctrl.h"
#include "class/pending.h"

#include <errno.h>
#include <ring3/nvme.h>

/* What one command moves at most, and what describes it: a list of 2 KiB per slot holds
 * the 256 PRP entries behind the first page of 1 MiB, and 128 SGL descriptors. It is
 * aligned to its size, so it never crosses a page and never has to be chained. */
#define NVME_MAX_LEN  (UINT32_C(1) << 20)
#define NVME_LIST_LEN 2048u
#define NVME_MAX_SEGS (NVME_LIST_LEN / sizeof(struct nvme_sgl_desc))

#define NVME_QUEUES_MAX      1024u /* that we ask the controller for */
#define NVME_VECTORS_MAX     65u   /* one for the admin queue; later queues share it */
#define NVME_EVENTS_PER_TICK 16u   /* asynchronous events that we take */

#define NVME_ADMIN_TIMEOUT (5 * R3_NSEC_PER_SEC)

/* ---- a submission and a completion queue that belong together (4.1) ---- */

struct nvme_pair {
	struct nvme_cmd *sq;
	struct nvme_cqe *cq;
	uint16_t qid;
	uint16_t entries; /* of each */
	uint16_t sq_tail; /* next free entry */
	uint16_t sq_rung; /* the tail that the controller was told */
	uint16_t cq_head; /* next entry to look at */
	uint16_t phase;   /* of a new entry there */
	uint64_t sq_doorbell, cq_doorbell;
	r3_iova sq_iova, cq_iova;
};

int nvme_pair_alloc(struct r3_nvme *nvme, struct nvme_pair *pair, uint16_t qid, uint16_t entries);
void nvme_pair_free(struct r3_nvme *nvme, struct nvme_pair *pair);
/** As after creation: empty, first pass. The controller must not be using it. */
void nvme_pair_reset(struct nvme_pair *pair);

/** The entry at the tail was filled. There always is a free one: as many commands as
 *  there are slots are in flight at most, and the queue has one entry more than slots. */
static inline void nvme_pair_push(struct nvme_pair *pair)
{
	if (++pair->sq_tail == pair->entries)
		pair->sq_tail = 0;
}

/** Whether there is a completion, and which. */
static inline bool nvme_pair_peek(const struct nvme_pair *pair, const struct nvme_cqe **out)
{
	const struct nvme_cqe *cqe = *out = &pair->cq[pair->cq_head];
	uint16_t sf = R3_LE16(__atomic_load_n(&cqe->sf, __ATOMIC_RELAXED));

	if ((sf & NVME_CQE_PHASE) != pair->phase)
		return false;
	/* The phase bit vouches for the rest of the entry and for the data that the command
	 * moved: neither may be read before it. */
	r3_barrier_read();
	return true;
}

static inline void nvme_pair_pop(struct nvme_pair *pair)
{
	if (++pair->cq_head == pair->entries) {
		pair->cq_head = 0;
		pair->phase ^= NVME_CQE_PHASE;
	}
}

/* ---- admin queue ---- */

/* One command of each kind at a time is all the driver needs, so the slots have fixed
 * roles. A controller with tiny queues has only the first. */
enum nvme_admin_role {
	NVME_ROLE_SYNC,   /* somebody waits for it */
	NVME_ROLE_EVENT,  /* the asynchronous event request */
	NVME_ROLE_CANCEL, /* an abort */
	NVME_ROLE_ROLES
};

struct nvme_admin {
	struct nvme_pair pair;
	struct {
		bool busy; /* with the controller */
		bool done; /* cqe is there, and nobody has looked yet */
		uint16_t cid;
		struct nvme_cqe cqe;
	} slot[NVME_ROLE_ROLES];
	unsigned roles; /* that the queue has room for */
	uint64_t timeout;
	struct r3_dma_map *map; /* data of the synchronous command */
	void *list;
	r3_iova list_iova;
};

/* ---- controller ---- */

struct nvme_ns;
struct nvme_queue;

struct r3_nvme {
	struct r3_ctrl ctrl;
	struct r3_region *bar;

	uint64_t cap;
	uint32_t page; /* bytes: CC.MPS */
	uint64_t ready_ns;
	struct nvme_id_ctrl id;
	uint32_t max_len;      /* of a command's data */
	uint64_t zeroes_len;   /* of a write zeroes; UINT64_MAX: no limit */
	uint32_t discard_lbas; /* of a deallocation */
	bool sgl;
	uint32_t coalesce; /* cdw11 of that feature; 0: leave it */

	struct r3_dma_tag *ring_tag; /* rings and lists */
	struct r3_dma_tag *prp_tag;  /* data that PRPs can describe */
	struct r3_dma_tag *data_tag; /* data of I/O: by SGLs if there are any */

	struct nvme_admin admin;
	struct nvme_ns *namespaces;

	uint32_t event_budget; /* events that we still take before the next tick */
	bool events_off;       /* the controller refused the request for them */
	bool ns_stale;         /* namespaces may have changed without an event */
};

/** Tell the controller which completions were taken. They were read before: the branches
 *  on what was read order this store behind those loads. */
static inline void nvme_pair_give_back(struct r3_nvme *nvme, const struct nvme_pair *pair)
{
	r3_write32_relaxed(nvme->bar, pair->cq_doorbell, pair->cq_head);
}

/* ctrl.c */

int nvme_ctrl_probe(struct r3_nvme *nvme);
/** Disable, enable, identify, and ask for queues. Keeps nqueues once it is set. */
int nvme_ctrl_start(struct r3_nvme *nvme);
/** Clear CC.EN and wait: afterwards the controller touches no memory. */
int nvme_ctrl_disable(struct r3_ctrl *ctrl);
/** The same before its memory is freed: one that does not obey is kept from all memory. */
void nvme_ctrl_fence(struct r3_nvme *nvme);
/** In good order, where that is possible, and fence. */
void nvme_ctrl_shutdown(struct r3_nvme *nvme);
/** 0, -ENODEV it is gone, -EIO it says that it failed. */
int nvme_ctrl_health(struct r3_nvme *nvme, uint32_t *csts);

/* admin.c */

int nvme_admin_alloc(struct r3_nvme *nvme);
void nvme_admin_free(struct r3_nvme *nvme);
/** Forget everything in flight: the controller was disabled. */
void nvme_admin_reset(struct r3_nvme *nvme);
/** Start a command without waiting. -EBUSY: its role is taken or has no room. */
int nvme_admin_post(struct r3_nvme *nvme, enum nvme_admin_role role, const struct nvme_cmd *cmd);
/** Take what has completed. */
void nvme_admin_poll(struct r3_nvme *nvme);
/** As r3_nvme_admin(), without its refusals. A command that does not complete in time
 *  costs a controller reset: only then is its memory safe. */
int nvme_admin(struct r3_nvme *nvme, const struct nvme_cmd *cmd, void *data, uint32_t len,
	       uint32_t *result, uint32_t *status);
/** 4096 bytes; @status as above, may be NULL. */
int nvme_identify(struct r3_nvme *nvme, uint8_t cns, uint32_t nsid, void *data, uint32_t *status);

/* prp.c, sgl.c: data pointers from segments */

/** Whether PRPs can describe it: dword-aligned, and meeting at page boundaries only. */
bool nvme_prp_fits(const struct r3_dma_seg *seg, unsigned nseg, uint32_t page);
/** Errors: EFBIG more pages than a list of NVME_LIST_LEN bytes has room for. */
int nvme_prp_build(union nvme_dptr *dptr, const struct r3_dma_seg *seg, unsigned nseg,
		   uint32_t page, uint64_t *list, r3_iova list_iova);
/** Errors: EFBIG as above. */
int nvme_sgl_build(union nvme_dptr *dptr, const struct r3_dma_seg *seg, unsigned nseg,
		   struct nvme_sgl_desc *list, r3_iova list_iova);

/* ---- I/O queues ---- */

/* The slot; above it a count that tells a stale cid. A slot 3ffh would make FFFFh, which is
 * no command (5.14.1.1). */
#define NVME_CID_INDEX 0x3ffu
#define NVME_CID_COUNT 0x400u
#define NVME_DEPTH_MAX NVME_CID_INDEX

struct nvme_queue {
	struct r3_hwq hwq; /* a slot's tag is the cid of its command, its id that of the next */
	struct r3_nvme *nvme;
	struct nvme_ns *ns;
	struct nvme_pair pair;
	uint32_t page; /* copies, for the data path */
	uint32_t nsid;
	uint8_t lba_shift;
};

/* queue.c */

int nvme_queue_open(struct r3_block *block, const struct r3_blkq_opts *opts, struct r3_blkq **out);
void nvme_queue_close(struct r3_blkq *blkq);
/** Tell the controller of the queue pair (5.3, 5.4). */
int nvme_queue_create(struct nvme_queue *q);

/* io.c */

int nvme_submit(struct r3_blkq *blkq, struct r3_blk_req *const *reqs, unsigned n);
int nvme_kick(struct r3_blkq *blkq);
int nvme_reap(struct r3_blkq *blkq, struct r3_blk_req **reqs, unsigned max);
int nvme_arm(struct r3_blkq *blkq);
/* As in struct r3_ctrl_ops: */
void nvme_io_ring(struct r3_hwq *hwq);
bool nvme_io_collect(struct r3_hwq *hwq, bool alive);
int nvme_io_again(struct r3_hwq *hwq, struct r3_slot *slot, uint64_t where);
bool nvme_io_cancel(struct r3_hwq *hwq, struct r3_slot *slot);

/* event.c */

void nvme_event_poll(struct r3_ctrl *ctrl, bool came);
void nvme_event_tick(struct r3_ctrl *ctrl);
/** Ask for the next asynchronous event. */
void nvme_event_arm(struct r3_nvme *nvme);

/* ---- namespaces ---- */

struct nvme_ns {
	struct r3_block block;
	struct r3_nvme *nvme;
	struct nvme_ns *next;
	uint32_t nsid;
	uint8_t lba_shift;
	uint8_t dlfeat;
	bool owner; /* closes the controller with it */
	bool gone;
	struct r3_pending pending;
};

/* ns.c */

int nvme_ns_create(struct r3_nvme *nvme, uint32_t nsid, struct nvme_ns **out);
/** Keep @type for the next dispatch of @ns. */
void nvme_ns_event(struct nvme_ns *ns, enum r3_block_event_type type, uint32_t detail);
/** Identify it again, because it may have changed. */
void nvme_ns_refresh(struct nvme_ns *ns);
void nvme_ns_refresh_all(struct r3_nvme *nvme);
/** No request is accepted any more; one event tells. */
void nvme_ns_gone(struct nvme_ns *ns);

#endif

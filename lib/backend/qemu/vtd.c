/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's intel-iommu: see vtd.h. */
#include "backend/qemu/vtd.h"

#include "bus/ops.h"

#include <ring3/error.h>

#include <errno.h>

/* Where QEMU's q35 has it; the table that says so (DMAR) is firmware's to make. */
#define BASE UINT64_C(0xfed90000)

/* QEMU does within the access what it is asked for; real hardware takes microseconds. */
#define OBEY_NS (R3_NSEC_PER_SEC)

#define DOMAIN 1u

static int get(struct r3_vtd *vtd, unsigned reg, unsigned width, uint64_t *value)
{
	uint32_t half;
	int rc;

	if (width == 8)
		return r3_qemu_link_rw(vtd->link, R3_QTEST_MEMORY, BASE + reg, value, 8, 1, 0);
	rc = r3_qemu_link_rw(vtd->link, R3_QTEST_MEMORY, BASE + reg, &half, 4, 1, 0);
	*value = half;
	return rc;
}

static int put32(struct r3_vtd *vtd, unsigned reg, uint32_t value)
{
	return r3_qemu_link_rw(vtd->link, R3_QTEST_MEMORY, BASE + reg, &value, 4, 1, R3_RW_WRITE);
}

static int put64(struct r3_vtd *vtd, unsigned reg, uint64_t value)
{
	return r3_qemu_link_rw(vtd->link, R3_QTEST_MEMORY, BASE + reg, &value, 8, 1, R3_RW_WRITE);
}

static uint64_t physical_of(const struct r3_vtd *vtd, const void *at)
{
	return (uint64_t)((const unsigned char *)at -
			  (const unsigned char *)r3_mem_addr(r3_arena_mem(vtd->arena)));
}

/* 10.4.4: one command at a time, with all that is on already; its bit in GSTS answers. */
static int command(struct r3_vtd *vtd, uint32_t bit)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), OBEY_NS);
	uint64_t status;
	int rc = get(vtd, VTD_REG_GSTS, 4, &status);

	if (rc == 0)
		rc = put32(vtd, VTD_REG_GCMD, ((uint32_t)status & ~VTD_GSTS_ONE_SHOT) | bit);
	while (rc == 0) {
		rc = get(vtd, VTD_REG_GSTS, 4, &status);
		if (rc == 0 && status & bit)
			return 0;
		if (rc == 0 && !r3_wait_step(&wait))
			rc = r3_error_set(EIO, "QEMU's IOMMU does not take command %#x", bit);
	}
	return rc;
}

/* ---- the queue ---- */

static void enqueue(struct r3_vtd *vtd, uint64_t low, uint64_t high)
{
	uint64_t *at = vtd->queue + vtd->tail * (VTD_QI_SIZE / sizeof(*at));

	__atomic_store_n(&at[0], R3_LE64(low), __ATOMIC_RELAXED);
	__atomic_store_n(&at[1], R3_LE64(high), __ATOMIC_RELAXED);
	vtd->tail = (vtd->tail + 1) % VTD_QI_ROOM;
}

/* 6.5.2.8: all that was enqueued has been done when the wait descriptor's status is there.
 * The IOMMU is idle before, so there is always room. */
static int finish(struct r3_vtd *vtd)
{
	struct r3_wait wait = r3_wait_begin(r3_clock_system(), OBEY_NS);
	uint64_t faults;
	int rc;

	enqueue(vtd, VTD_QI_WAIT(++vtd->stamp), physical_of(vtd, vtd->status));
	/* the descriptors before the tail */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	rc = put64(vtd, VTD_REG_IQT, vtd->tail * VTD_QI_SIZE);
	while (rc == 0) {
		if (R3_LE32(__atomic_load_n(vtd->status, __ATOMIC_ACQUIRE)) == vtd->stamp)
			return 0;
		rc = get(vtd, VTD_REG_FSTS, 4, &faults);
		if (rc == 0 &&
		    (faults & (VTD_FSTS_IQE | VTD_FSTS_ICE | VTD_FSTS_ITE) || !r3_wait_step(&wait)))
			rc = r3_error_set(EIO, "QEMU's IOMMU does not forget (FSTS %#x)",
					  (unsigned)faults);
	}
	return rc;
}

int r3_vtd_invalidate(struct r3_vtd *vtd, uint64_t iova, uint64_t len)
{
	uint64_t first = iova >> VTD_PAGE_SHIFT, last = (iova + (len - 1)) >> VTD_PAGE_SHIFT;
	unsigned mask = 0;

	/* one descriptor is for an aligned power of two of pages, and may be for too many */
	while (first >> mask != last >> mask)
		mask++;
	if (mask <= vtd->address_mask)
		enqueue(vtd, VTD_QI_IOTLB_PAGE(DOMAIN),
			first >> mask << mask << VTD_PAGE_SHIFT | mask);
	else
		enqueue(vtd, VTD_QI_IOTLB_DOMAIN(DOMAIN), 0);
	return finish(vtd);
}

static int forget_all(struct r3_vtd *vtd)
{
	enqueue(vtd, VTD_QI_CONTEXT_GLOBAL, 0);
	enqueue(vtd, VTD_QI_IOTLB_GLOBAL, 0);
	return finish(vtd);
}

/* ---- life ---- */

static int check(struct r3_vtd *vtd, unsigned *largest)
{
	uint64_t version, cap, ecap;
	int rc = get(vtd, VTD_REG_VER, 4, &version);

	if (rc == 0)
		rc = get(vtd, VTD_REG_CAP, 8, &cap);
	if (rc == 0)
		rc = get(vtd, VTD_REG_ECAP, 8, &ecap);
	if (rc < 0)
		return rc;
	if (!version || !(cap & VTD_CAP_SAGAW_4LEVEL) || !(ecap & VTD_ECAP_QI))
		return r3_error_set(ENODEV,
				    "QEMU has no IOMMU that will do (version %#x, CAP %#llx, "
				    "ECAP %#llx)",
				    (unsigned)version, (unsigned long long)cap,
				    (unsigned long long)ecap);
	*largest = !(cap & VTD_CAP_SLLPS_2M) ? 1 : !(cap & VTD_CAP_SLLPS_1G) ? 2 : 3;
	vtd->address_mask = cap & VTD_CAP_PSI ? VTD_CAP_MAMV(cap) : 0;
	vtd->frcd = VTD_CAP_FRO(cap);
	vtd->nfrcd = VTD_CAP_NFR(cap);
	return 0;
}

static void *new_page(struct r3_vtd *vtd)
{
	void *at;

	return r3_arena_alloc(vtd->arena, VTD_PAGE, VTD_PAGE, &at) == 0 ? at : NULL;
}

/* Whatever could not be had, r3_vtd_close() frees the rest. */
static int new_pages(struct r3_vtd *vtd)
{
	vtd->root = new_page(vtd);
	vtd->queue = new_page(vtd);
	vtd->status = new_page(vtd);
	return vtd->root && vtd->queue && vtd->status ? 0 : -ENOMEM;
}

/* 6.5.2: the queue is on before translation is. */
static int turn_on(struct r3_vtd *vtd)
{
	int rc = put64(vtd, VTD_REG_RTADDR, physical_of(vtd, vtd->root));

	if (rc == 0)
		rc = command(vtd, VTD_GCMD_SRTP);
	if (rc == 0)
		rc = put64(vtd, VTD_REG_IQT, 0);
	if (rc == 0)
		rc = put64(vtd, VTD_REG_IQA, physical_of(vtd, vtd->queue));
	if (rc == 0)
		rc = command(vtd, VTD_GCMD_QIE);
	if (rc == 0)
		rc = forget_all(vtd);
	return rc < 0 ? rc : command(vtd, VTD_GCMD_TE);
}

int r3_vtd_open(struct r3_vtd *vtd, struct r3_qemu_link *link, struct r3_mem *ram, uint64_t first)
{
	unsigned largest = 1;
	int rc;

	*vtd = (struct r3_vtd){.link = link};
	rc = check(vtd, &largest);
	if (rc == 0)
		rc = r3_arena_create(ram, first, r3_mem_size(ram) - first, &vtd->arena);
	if (rc == 0)
		rc = new_pages(vtd);
	if (rc == 0)
		rc = r3_vtd_table_init(&vtd->table, vtd->arena, largest);
	if (rc == 0)
		rc = turn_on(vtd);
	if (rc < 0)
		r3_vtd_close(vtd);
	return rc;
}

void r3_vtd_close(struct r3_vtd *vtd)
{
	r3_vtd_table_free(&vtd->table);
	r3_arena_unref(vtd->arena);
	vtd->arena = NULL;
}

int r3_vtd_attach(struct r3_vtd *vtd, uint16_t source)
{
	uint64_t *root = vtd->root + (source >> 8) * 2, *context;
	uint64_t entry = R3_LE64(__atomic_load_n(root, __ATOMIC_RELAXED));

	if (entry & VTD_ROOT_P) {
		/* ours, unless somebody wrote to it */
		entry &= VTD_SL_ADDR;
		if (entry > r3_mem_size(r3_arena_mem(vtd->arena)) - VTD_PAGE)
			return r3_error_set(EIO, "somebody wrote to the IOMMU's root table");
		context = (uint64_t *)((unsigned char *)r3_mem_addr(r3_arena_mem(vtd->arena)) +
				       entry);
	} else {
		context = new_page(vtd);
		if (!context)
			return -ENOMEM;
		__atomic_store_n(root, R3_LE64(physical_of(vtd, context) | VTD_ROOT_P),
				 __ATOMIC_RELEASE);
	}
	context += (source & 0xff) * 2;
	__atomic_store_n(&context[1], R3_LE64(VTD_CONTEXT_HI(DOMAIN)), __ATOMIC_RELAXED);
	__atomic_store_n(&context[0], R3_LE64(vtd->table.root | VTD_CONTEXT_P), __ATOMIC_RELEASE);
	return forget_all(vtd);
}

/* ---- faults ---- */

int r3_vtd_fault_by_nmi(struct r3_vtd *vtd)
{
	int rc = put32(vtd, VTD_REG_FEDATA, VTD_FEDATA_NMI);

	if (rc == 0)
		rc = put32(vtd, VTD_REG_FEADDR, VTD_FEADDR_CPU);
	if (rc == 0)
		rc = put32(vtd, VTD_REG_FEUADDR, 0);
	return rc < 0 ? rc : put32(vtd, VTD_REG_FECTL, 0);
}

/* 7.2.1: a register keeps its fault until F is cleared; so the one that is read is the
 * oldest if they are looked at in turn. What found no register free is only counted. */
int r3_vtd_take_fault(struct r3_vtd *vtd, struct r3_vtd_fault *fault)
{
	uint64_t status, low, high;
	int rc = get(vtd, VTD_REG_FSTS, 4, &status);

	for (unsigned i = 0; i < vtd->nfrcd && rc == 0 && status & VTD_FSTS_PPF; i++) {
		unsigned reg = vtd->frcd + vtd->next_fault * VTD_FRCD_SIZE;

		vtd->next_fault = (vtd->next_fault + 1) % vtd->nfrcd;
		rc = get(vtd, reg + 8, 8, &high);
		if (rc < 0 || !(high & VTD_FRCD_F))
			continue;
		rc = get(vtd, reg, 8, &low);
		if (rc == 0)
			rc = put32(vtd, reg + 12, (uint32_t)(VTD_FRCD_F >> 32));
		if (rc < 0)
			break;
		*fault = (struct r3_vtd_fault){
			.address = VTD_FRCD_FI(low),
			.source = VTD_FRCD_SID(high),
			.read = VTD_FRCD_READ(high),
			.reason = VTD_FRCD_FR(high),
		};
		return 1;
	}
	if (rc == 0 && status & VTD_FSTS_PFO)
		rc = put32(vtd, VTD_REG_FSTS, VTD_FSTS_PFO);
	return rc;
}

const char *r3_vtd_reason(unsigned reason)
{
	switch (reason) {
	case VTD_FR_ROOT_NOT_PRESENT:
	case VTD_FR_CONTEXT_NOT_PRESENT:
		return "it has no addresses";
	case VTD_FR_BEYOND_WIDTH:
		return "beyond 48 bits";
	case VTD_FR_WRITE:
		return "not mapped, or not for writing";
	case VTD_FR_READ:
		return "not mapped, or not for reading";
	default:
		return "the tables make no sense";
	}
}

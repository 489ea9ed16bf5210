/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel Virtualization Technology for Directed I/O, architecture specification 3.3: the part
 * that translates the addresses of DMA in legacy mode. Names are the specification's, section
 * numbers are of 3.3. Everything is little-endian.
 */
#ifndef RING3_SPEC_VTD_H
#define RING3_SPEC_VTD_H

#include <ring3/api.h>

/* ---- registers (10.4) ---- */

enum vtd_register {
	VTD_REG_VER = 0x00,
	VTD_REG_CAP = 0x08,  /* 64 bits */
	VTD_REG_ECAP = 0x10, /* 64 bits */
	VTD_REG_GCMD = 0x18,
	VTD_REG_GSTS = 0x1c,
	VTD_REG_RTADDR = 0x20, /* 64 bits */
	VTD_REG_FSTS = 0x34,
	VTD_REG_FECTL = 0x38,
	VTD_REG_FEDATA = 0x3c,
	VTD_REG_FEADDR = 0x40,
	VTD_REG_FEUADDR = 0x44,
	VTD_REG_IQH = 0x80, /* 64 bits */
	VTD_REG_IQT = 0x88, /* 64 bits */
	VTD_REG_IQA = 0x90, /* 64 bits */
};

/* CAP (10.4.2) */
#define VTD_CAP_SAGAW_4LEVEL (UINT64_C(1) << 10)                      /* bit 2 of SAGAW, 12:8 */
#define VTD_CAP_MGAW(cap)    (((unsigned)((cap) >> 16) & 0x3f) + 1)   /* bits of an address */
#define VTD_CAP_FRO(cap)     (((unsigned)((cap) >> 24) & 0x3ff) * 16) /* where FRCD begins */
#define VTD_CAP_SLLPS_2M     (UINT64_C(1) << 34)
#define VTD_CAP_SLLPS_1G     (UINT64_C(1) << 35)
#define VTD_CAP_PSI          (UINT64_C(1) << 39)                    /* page-selective */
#define VTD_CAP_NFR(cap)     (((unsigned)((cap) >> 40) & 0xff) + 1) /* FRCD registers */
#define VTD_CAP_MAMV(cap)    ((unsigned)((cap) >> 48) & 0x3f)       /* most of IOTLB_AM */

/* ECAP (10.4.3) */
#define VTD_ECAP_QI (UINT64_C(1) << 1)

/* GCMD (10.4.4), and what GSTS (10.4.5) answers; of the latter's bits, those that GCMD takes
 * once are not written back. */
#define VTD_GCMD_TE       (1u << 31)
#define VTD_GCMD_SRTP     (1u << 30)
#define VTD_GCMD_QIE      (1u << 26)
#define VTD_GSTS_TES      (1u << 31)
#define VTD_GSTS_RTPS     (1u << 30)
#define VTD_GSTS_QIES     (1u << 26)
#define VTD_GSTS_ONE_SHOT 0x69000000u

/* FSTS (10.4.9); write 1 to clear */
#define VTD_FSTS_PFO (1u << 0) /* faults were lost: no register was free */
#define VTD_FSTS_PPF (1u << 1) /* some register has a fault (read-only) */
#define VTD_FSTS_IQE (1u << 4) /* the queue has stopped at a descriptor that makes no sense */
#define VTD_FSTS_ICE (1u << 5)
#define VTD_FSTS_ITE (1u << 6)

/* FECTL (10.4.10); FEDATA and FEADDR are a message signalled interrupt (Intel SDM 3, 11.11) */
#define VTD_FECTL_IM   (1u << 31)
#define VTD_FEDATA_NMI 0x400u      /* delivery mode 100b */
#define VTD_FEADDR_CPU 0xfee00000u /* physical destination 0 */

/* FRCD (10.4.14): two words of 64 bits */
#define VTD_FRCD_SIZE     16
#define VTD_FRCD_FI(low)  ((low) & ~UINT64_C(0xfff)) /* the page */
#define VTD_FRCD_SID(hi)  ((uint16_t)((hi)&0xffff))  /* bus << 8 | devfn */
#define VTD_FRCD_FR(hi)   ((unsigned)((hi) >> 32) & 0xff)
#define VTD_FRCD_READ(hi) (((hi) >> 62) & 1)
#define VTD_FRCD_F        (UINT64_C(1) << 63)

/* Fault reasons (7.1.3), those of addresses. */
enum vtd_fault_reason {
	VTD_FR_ROOT_NOT_PRESENT = 0x1,
	VTD_FR_CONTEXT_NOT_PRESENT = 0x2,
	VTD_FR_CONTEXT_INVALID = 0x3,
	VTD_FR_BEYOND_WIDTH = 0x4,
	VTD_FR_WRITE = 0x5, /* not allowed, or nothing is there */
	VTD_FR_READ = 0x6,
	VTD_FR_PAGE_ENTRY = 0x7, /* the memory of an entry cannot be read */
	VTD_FR_PAGE_RESERVED = 0xc,
};

/* ---- tables in memory ---- */

#define VTD_PAGE        4096u
#define VTD_ENTRIES     512u /* 8 bytes each: of a page table; root and context have 256 of 16 */
#define VTD_PAGE_SHIFT  12
#define VTD_LEVEL_SHIFT 9
#define VTD_LEVELS      4 /* of an address of 48 bits */

/* Root entry (9.1), context entry (9.3) */
#define VTD_ROOT_P          UINT64_C(1)
#define VTD_CONTEXT_P       UINT64_C(1)
#define VTD_CONTEXT_HI(did) ((uint64_t)(did) << 8 | 2) /* AW: 4 levels */

/* Second-stage paging entries (9.8) */
#define VTD_SL_R    UINT64_C(1)
#define VTD_SL_W    UINT64_C(2)
#define VTD_SL_PS   (UINT64_C(1) << 7) /* of level 2 and 3: the page itself */
#define VTD_SL_ADDR UINT64_C(0x000ffffffffff000)

/* Addresses of the interrupt controllers, which are not translated (3.14) */
#define VTD_MSI_FIRST UINT64_C(0xfee00000)
#define VTD_MSI_LAST  UINT64_C(0xfeefffff)

/* ---- the invalidation queue (6.5.2): descriptors of two words of 64 bits ---- */

#define VTD_QI_SIZE 16
#define VTD_QI_ROOM (VTD_PAGE / VTD_QI_SIZE) /* of IQA's size 0 */

#define VTD_QI_CONTEXT_GLOBAL    UINT64_C(0x11)
#define VTD_QI_IOTLB_GLOBAL      UINT64_C(0xd2) /* with DR and DW: transfers are drained */
#define VTD_QI_IOTLB_DOMAIN(did) (UINT64_C(0xe2) | (uint64_t)(did) << 16)
#define VTD_QI_IOTLB_PAGE(did)   (UINT64_C(0xf2) | (uint64_t)(did) << 16)
#define VTD_QI_WAIT(value)       (UINT64_C(0x25) | (uint64_t)(value) << 32) /* write a status */

#endif

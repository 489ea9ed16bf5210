/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVM Express base specification 1.4: registers, commands, completions and the data
 * structures behind them. Names are the specification's, section numbers are of
 * revision 1.4; what came with 2.0 says so. Every integer in a structure is
 * little-endian: read and write it through R3_LE16() & co.
 */
#ifndef RING3_SPEC_NVME_H
#define RING3_SPEC_NVME_H

#include <ring3/api.h>

#ifdef __cplusplus
#define NVME_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define NVME_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

/* ---- controller registers (3.1) ---- */

enum nvme_register {
	NVME_REG_CAP = 0x00,    /* 64 bits: controller capabilities */
	NVME_REG_VS = 0x08,     /* version: MJR << 16 | MNR << 8 | TER */
	NVME_REG_INTMS = 0x0c,  /* interrupt mask set: pin and MSI only */
	NVME_REG_INTMC = 0x10,  /* interrupt mask clear */
	NVME_REG_CC = 0x14,     /* controller configuration */
	NVME_REG_CSTS = 0x1c,   /* controller status */
	NVME_REG_NSSR = 0x20,   /* NVM subsystem reset */
	NVME_REG_AQA = 0x24,    /* admin queue attributes: ACQS << 16 | ASQS, both 0's based */
	NVME_REG_ASQ = 0x28,    /* 64 bits: admin submission queue base */
	NVME_REG_ACQ = 0x30,    /* 64 bits: admin completion queue base */
	NVME_REG_CMBLOC = 0x38, /* controller memory buffer */
	NVME_REG_CMBSZ = 0x3c,
	NVME_REG_DOORBELL = 0x1000,
};

/* CAP (3.1.1) */
#define NVME_CAP_MQES(cap)   ((uint16_t)((cap)&0xffff)) /* entries of a queue, 0's based, >= 1 */
#define NVME_CAP_CQR(cap)    ((unsigned)((cap) >> 16) & 0x1)  /* contiguous queues required */
#define NVME_CAP_AMS(cap)    ((unsigned)((cap) >> 17) & 0x3)  /* arbitration mechanisms */
#define NVME_CAP_TO(cap)     ((unsigned)((cap) >> 24) & 0xff) /* ready time-out, 500 ms units */
#define NVME_CAP_DSTRD(cap)  ((unsigned)((cap) >> 32) & 0xf)  /* stride is 4 << DSTRD bytes */
#define NVME_CAP_NSSRS(cap)  ((unsigned)((cap) >> 36) & 0x1)
#define NVME_CAP_CSS(cap)    ((unsigned)((cap) >> 37) & 0xff) /* command sets */
#define NVME_CAP_MPSMIN(cap) ((unsigned)((cap) >> 48) & 0xf)  /* page size is 4096 << MPS */
#define NVME_CAP_MPSMAX(cap) ((unsigned)((cap) >> 52) & 0xf)
#define NVME_CAP_CSS_NVM     (1u << 0)
#define NVME_CAP_CSS_CSI     (1u << 6) /* 2.0: one or more I/O command sets */
#define NVME_CAP_CSS_ADMIN   (1u << 7) /* no I/O command set at all */

#define NVME_VS(mjr, mnr, ter) ((uint32_t)(mjr) << 16 | (uint32_t)(mnr) << 8 | (uint32_t)(ter))

/* CC (3.1.5) */
#define NVME_CC_EN         (1u << 0)
#define NVME_CC_CSS(css)   ((uint32_t)(css) << 4)
#define NVME_CC_CSS_NVM    0u
#define NVME_CC_CSS_ALL    6u /* 2.0: every I/O command set there is */
#define NVME_CC_CSS_ADMIN  7u
#define NVME_CC_MPS(mps)   ((uint32_t)(mps) << 7)
#define NVME_CC_AMS_RR     (0u << 11) /* round robin */
#define NVME_CC_SHN_MASK   (3u << 14)
#define NVME_CC_SHN_NORMAL (1u << 14)
#define NVME_CC_SHN_ABRUPT (2u << 14)
#define NVME_CC_IOSQES(n)  ((uint32_t)(n) << 16) /* log2 of the entry size: 6 */
#define NVME_CC_IOCQES(n)  ((uint32_t)(n) << 20) /* 4 */

/* CSTS (3.1.6) */
#define NVME_CSTS_RDY           (1u << 0)
#define NVME_CSTS_CFS           (1u << 1) /* controller fatal status */
#define NVME_CSTS_SHST_MASK     (3u << 2)
#define NVME_CSTS_SHST_NORMAL   (0u << 2)
#define NVME_CSTS_SHST_OCCUR    (1u << 2)
#define NVME_CSTS_SHST_COMPLETE (2u << 2)
#define NVME_CSTS_NSSRO         (1u << 4)
#define NVME_CSTS_PP            (1u << 5)

#define NVME_NSSR_RESET 0x4e564d65u /* "NVMe" (3.1.7) */

/** Doorbells (3.1.24, 3.1.25): submission queue tail and completion queue head. */
static inline uint64_t nvme_sq_doorbell(unsigned qid, unsigned dstrd)
{
	return (uint64_t)NVME_REG_DOORBELL + (2 * (uint64_t)qid) * (4u << dstrd);
}

static inline uint64_t nvme_cq_doorbell(unsigned qid, unsigned dstrd)
{
	return (uint64_t)NVME_REG_DOORBELL + (2 * (uint64_t)qid + 1) * (4u << dstrd);
}

/* ---- commands and completions (4.2, 4.4, 4.6) ---- */

enum nvme_sgl_type { /* descriptor type << 4 | sub type (figures 113, 114) */
		     NVME_SGL_DATA = 0x00,
		     NVME_SGL_BIT_BUCKET = 0x10,
		     NVME_SGL_SEGMENT = 0x20,
		     NVME_SGL_LAST_SEGMENT = 0x30,
};

struct nvme_sgl_desc {
	uint64_t addr;
	uint32_t len;
	uint8_t rsvd12[3];
	uint8_t type;
};
NVME_SIZE(struct nvme_sgl_desc, 16);

union nvme_dptr {
	uint64_t prp[2];
	struct nvme_sgl_desc sgl;
};

enum nvme_cmd_flags {
	NVME_CMD_PSDT_PRP = 0 << 6,
	NVME_CMD_PSDT_SGL = 1 << 6, /* data by SGL, metadata by a contiguous buffer */
};

struct nvme_cmd {
	uint8_t opcode;
	uint8_t flags; /* enum nvme_cmd_flags */
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2;
	uint32_t cdw3;
	uint64_t mptr;
	union nvme_dptr dptr;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
NVME_SIZE(struct nvme_cmd, 64);

struct nvme_cqe {
	uint32_t dw0;
	uint32_t dw1;
	uint16_t sqhd;
	uint16_t sqid;
	uint16_t cid;
	uint16_t sf; /* status field << 1 | phase tag */
};
NVME_SIZE(struct nvme_cqe, 16);

#define NVME_CQE_PHASE      (1u << 0)
#define NVME_CQE_STATUS(sf) (((unsigned)(sf) >> 1) & 0x7ff) /* SC | SCT << 8 */
#define NVME_CQE_DNR        (1u << 15)                      /* do not retry */

/** Status: SC | SCT << 8 (4.6.1). */
enum nvme_status {
	NVME_SC_SUCCESS = 0x000,
	NVME_SC_INVALID_OPCODE = 0x001,
	NVME_SC_INVALID_FIELD = 0x002,
	NVME_SC_CMDID_CONFLICT = 0x003,
	NVME_SC_DATA_XFER_ERROR = 0x004,
	NVME_SC_POWER_LOSS = 0x005,
	NVME_SC_INTERNAL = 0x006,
	NVME_SC_ABORT_REQ = 0x007,
	NVME_SC_ABORT_SQ_DELETION = 0x008,
	NVME_SC_INVALID_NS = 0x00b,
	NVME_SC_CMD_SEQ_ERROR = 0x00c,
	NVME_SC_SGL_INVALID_LAST = 0x00d,
	NVME_SC_SGL_INVALID_COUNT = 0x00e,
	NVME_SC_SGL_INVALID_DATA = 0x00f,
	NVME_SC_SGL_INVALID_TYPE = 0x011,
	NVME_SC_PRP_INVALID_OFFSET = 0x013,
	NVME_SC_SANITIZE_IN_PROGRESS = 0x01d,
	NVME_SC_NS_WRITE_PROTECTED = 0x020,
	NVME_SC_CMD_INTERRUPTED = 0x021,
	NVME_SC_LBA_RANGE = 0x080,
	NVME_SC_CAP_EXCEEDED = 0x081,
	NVME_SC_NS_NOT_READY = 0x082,
	NVME_SC_CQ_INVALID = 0x100,
	NVME_SC_QID_INVALID = 0x101,
	NVME_SC_QUEUE_SIZE = 0x102,
	NVME_SC_ABORT_LIMIT = 0x103,
	NVME_SC_ASYNC_LIMIT = 0x105,
	NVME_SC_INVALID_VECTOR = 0x108,
	NVME_SC_INVALID_LOG_PAGE = 0x109,
	NVME_SC_INVALID_QUEUE_DELETION = 0x10c,
	NVME_SC_WRITE_TO_RO = 0x182,
	NVME_SC_WRITE_FAULT = 0x280,
	NVME_SC_READ_ERROR = 0x281,
	NVME_SC_GUARD_CHECK = 0x282,
	NVME_SC_COMPARE_FAILED = 0x285,
	NVME_SC_ACCESS_DENIED = 0x286,
	NVME_SC_UNWRITTEN_BLOCK = 0x287,
};

/* ---- admin commands (5) ---- */

enum nvme_admin_opcode { /* the low two bits: 1 data to, 2 data from the controller */
			 NVME_ADMIN_DELETE_SQ = 0x00,
			 NVME_ADMIN_CREATE_SQ = 0x01,
			 NVME_ADMIN_GET_LOG_PAGE = 0x02,
			 NVME_ADMIN_DELETE_CQ = 0x04,
			 NVME_ADMIN_CREATE_CQ = 0x05,
			 NVME_ADMIN_IDENTIFY = 0x06,
			 NVME_ADMIN_ABORT = 0x08,
			 NVME_ADMIN_SET_FEATURES = 0x09,
			 NVME_ADMIN_GET_FEATURES = 0x0a,
			 NVME_ADMIN_ASYNC_EVENT = 0x0c,
			 NVME_ADMIN_NS_MGMT = 0x0d,
			 NVME_ADMIN_FW_COMMIT = 0x10,
			 NVME_ADMIN_FW_DOWNLOAD = 0x11,
			 NVME_ADMIN_SELF_TEST = 0x14,
			 NVME_ADMIN_NS_ATTACH = 0x15,
			 NVME_ADMIN_KEEP_ALIVE = 0x18,
			 NVME_ADMIN_VIRT_MGMT = 0x1c,
			 NVME_ADMIN_DBBUF_CONFIG = 0x7c,
			 NVME_ADMIN_FORMAT_NVM = 0x80,
			 NVME_ADMIN_SECURITY_SEND = 0x81,
			 NVME_ADMIN_SECURITY_RECV = 0x82,
			 NVME_ADMIN_SANITIZE = 0x84,
};

#define NVME_OPCODE_TO_CTRL   0x1u
#define NVME_OPCODE_FROM_CTRL 0x2u

/* Create queue (5.3, 5.4): cdw10 QSIZE << 16 | QID, cdw11 as below */
#define NVME_QUEUE_PC (1u << 0) /* physically contiguous */
#define NVME_CQ_IEN   (1u << 1) /* interrupts enabled; the vector is in bits 31:16 */

enum nvme_cns { /* Identify (5.15): cdw10 */
		NVME_CNS_NS = 0x00,
		NVME_CNS_CTRL = 0x01,
		NVME_CNS_NS_ACTIVE_LIST = 0x02,
		NVME_CNS_NS_DESC_LIST = 0x03,
		NVME_CNS_CSI_CTRL = 0x06, /* 2.0; the command set is in cdw11 31:24 */
};

enum nvme_feature { /* Set and Get Features (5.21): cdw10 */
		    NVME_FID_ARBITRATION = 0x01,
		    NVME_FID_POWER_MGMT = 0x02,
		    NVME_FID_TEMP_THRESH = 0x04,
		    NVME_FID_ERR_RECOVERY = 0x05,
		    NVME_FID_VOLATILE_WC = 0x06,
		    NVME_FID_NUM_QUEUES = 0x07, /* cdw11 and result: NCQ << 16 | NSQ, 0's based */
		    NVME_FID_IRQ_COALESCE = 0x08,
		    NVME_FID_IRQ_CONFIG = 0x09,
		    NVME_FID_WRITE_ATOMIC = 0x0a,
		    NVME_FID_ASYNC_EVENT = 0x0b,
		    NVME_FID_HOST_MEM_BUF = 0x0d,
		    NVME_FID_TIMESTAMP = 0x0e,
};

/* Interrupt coalescing (5.21.1.8): entries, 0's based, and time in units of 100 us */
#define NVME_IRQ_COALESCE(thr, time) (((thr)&0xffu) | ((time)&0xffu) << 8)
#define NVME_IRQ_COALESCE_UNIT_NS    100000u

/* Interrupt vector configuration (5.21.1.9): the vector, and that it is not coalesced */
#define NVME_IRQ_CONFIG_CD (1u << 16)

/* Asynchronous events (5.2.1): dword 0 of the completion */
#define NVME_AER_TYPE(dw0) ((dw0)&0x7)
#define NVME_AER_INFO(dw0) (((dw0) >> 8) & 0xff)
#define NVME_AER_LID(dw0)  ((uint8_t)((dw0) >> 16))

enum nvme_aer_type {
	NVME_AER_ERROR = 0,
	NVME_AER_SMART = 1,
	NVME_AER_NOTICE = 2,
	NVME_AER_IO_SET = 6,
	NVME_AER_VENDOR = 7,
};

enum nvme_aer_notice {
	NVME_AER_NOTICE_NS_CHANGED = 0,
	NVME_AER_NOTICE_FW_ACTIVATION = 1,
	NVME_AER_NOTICE_TELEMETRY = 2,
	NVME_AER_NOTICE_ANA = 3,
};

/* Feature 0bh, and the OAES field of Identify: which events are wanted, and offered */
#define NVME_AEN_SMART_MASK    0x1fu
#define NVME_AEN_NS_CHANGED    (1u << 8)
#define NVME_AEN_FW_ACTIVATION (1u << 9)

/* ---- NVM commands (6) ---- */

enum nvme_io_opcode {
	NVME_CMD_FLUSH = 0x00,
	NVME_CMD_WRITE = 0x01,
	NVME_CMD_READ = 0x02,
	NVME_CMD_WRITE_UNCOR = 0x04,
	NVME_CMD_COMPARE = 0x05,
	NVME_CMD_WRITE_ZEROES = 0x08,
	NVME_CMD_DSM = 0x09,
};

/* cdw12 of read, write, write zeroes: number of blocks 0's based in 15:0 */
#define NVME_RW_DEAC (1u << 25) /* write zeroes: deallocate */
#define NVME_RW_FUA  (1u << 30)
#define NVME_RW_LR   (1u << 31) /* limited retry */

#define NVME_DSM_AD     (1u << 2) /* cdw11: deallocate */
#define NVME_DSM_RANGES 256u      /* cdw10: number of ranges, 0's based */

struct nvme_dsm_range {
	uint32_t cattr;
	uint32_t nlb;
	uint64_t slba;
};
NVME_SIZE(struct nvme_dsm_range, 16);

/* ---- Identify Controller (figure 247) ---- */

struct nvme_id_psd { /* power state descriptor (figure 248) */
	uint16_t mp;
	uint8_t rsvd2;
	uint8_t flags;
	uint32_t enlat;
	uint32_t exlat;
	uint8_t rrt;
	uint8_t rrl;
	uint8_t rwt;
	uint8_t rwl;
	uint16_t idlp;
	uint8_t ips;
	uint8_t rsvd19;
	uint16_t actp;
	uint8_t apws;
	uint8_t rsvd23[9];
};
NVME_SIZE(struct nvme_id_psd, 32);

struct nvme_id_ctrl {
	uint16_t vid;
	uint16_t ssvid;
	char sn[20]; /* ASCII, padded with spaces, no final NUL; so are mn and fr */
	char mn[40];
	char fr[8];
	uint8_t rab;
	uint8_t ieee[3];
	uint8_t cmic;
	uint8_t mdts; /* largest transfer: 2^mdts minimum pages; 0: no limit */
	uint16_t cntlid;
	uint32_t ver;
	uint32_t rtd3r; /* microseconds */
	uint32_t rtd3e; /* microseconds that a shutdown may take; 0: not reported */
	uint32_t oaes;  /* NVME_AEN_* */
	uint32_t ctratt;
	uint16_t rrls;
	uint8_t rsvd102[9];
	uint8_t cntrltype;
	uint8_t fguid[16];
	uint16_t crdt1;
	uint16_t crdt2;
	uint16_t crdt3;
	uint8_t rsvd134[122];
	uint16_t oacs;
	uint8_t acl;  /* concurrent aborts, 0's based */
	uint8_t aerl; /* concurrent asynchronous event requests, 0's based */
	uint8_t frmw;
	uint8_t lpa;
	uint8_t elpe;
	uint8_t npss;
	uint8_t avscc;
	uint8_t apsta;
	uint16_t wctemp;
	uint16_t cctemp;
	uint16_t mtfa;
	uint32_t hmpre;
	uint32_t hmmin;
	uint8_t tnvmcap[16];
	uint8_t unvmcap[16];
	uint32_t rpmbs;
	uint16_t edstt;
	uint8_t dsto;
	uint8_t fwug;
	uint16_t kas;
	uint16_t hctma;
	uint16_t mntmt;
	uint16_t mxtmt;
	uint32_t sanicap;
	uint32_t hmminds;
	uint16_t hmmaxd;
	uint16_t nsetidmax;
	uint16_t endgidmax;
	uint8_t anatt;
	uint8_t anacap;
	uint32_t anagrpmax;
	uint32_t nanagrpid;
	uint32_t pels;
	uint8_t rsvd356[156];
	uint8_t sqes; /* log2 of entry sizes: required 3:0, largest 7:4 */
	uint8_t cqes;
	uint16_t maxcmd;
	uint32_t nn;   /* largest valid namespace id */
	uint16_t oncs; /* NVME_ONCS_* */
	uint16_t fuses;
	uint8_t fna;
	uint8_t vwc; /* NVME_VWC_* */
	uint16_t awun;
	uint16_t awupf;
	uint8_t nvscc;
	uint8_t nwpc;
	uint16_t acwu;
	uint8_t rsvd534[2];
	uint32_t sgls; /* NVME_SGLS_* */
	uint32_t mnan;
	uint8_t rsvd544[224];
	char subnqn[256];
	uint8_t rsvd1024[768];
	uint8_t fabrics[256];
	struct nvme_id_psd psd[32];
	uint8_t vs[1024];
};
NVME_SIZE(struct nvme_id_ctrl, 4096);

#define NVME_OACS_SECURITY  (1u << 0)
#define NVME_OACS_FORMAT    (1u << 1)
#define NVME_OACS_FIRMWARE  (1u << 2)
#define NVME_OACS_NS_MGMT   (1u << 3)
#define NVME_OACS_SELF_TEST (1u << 4)

#define NVME_ONCS_COMPARE      (1u << 0)
#define NVME_ONCS_WRITE_UNCOR  (1u << 1)
#define NVME_ONCS_DSM          (1u << 2)
#define NVME_ONCS_WRITE_ZEROES (1u << 3)

#define NVME_VWC_PRESENT (1u << 0)

#define NVME_SGLS_SUPPORT_MASK 0x3u
#define NVME_SGLS_ANY          0x1u /* any alignment */
#define NVME_SGLS_DWORD        0x2u /* addresses and lengths in dwords */

/** Identify Controller of the NVM command set (2.0, CNS 06h). */
struct nvme_id_ctrl_nvm {
	uint8_t vsl;
	uint8_t wzsl; /* largest write zeroes: 2^wzsl minimum pages; 0: no limit */
	uint8_t wusl;
	uint8_t dmrl;   /* ranges of a DSM; 0: no limit */
	uint32_t dmrsl; /* blocks of one range; 0: no limit */
	uint64_t dmsl;  /* blocks of one command; 0: no limit */
	uint8_t rsvd16[4080];
};
NVME_SIZE(struct nvme_id_ctrl_nvm, 4096);

/* ---- Identify Namespace (figure 245) ---- */

struct nvme_lbaf {
	uint16_t ms;   /* bytes of metadata per block */
	uint8_t lbads; /* log2 of the block size; 0: no such format */
	uint8_t rp;
};
NVME_SIZE(struct nvme_lbaf, 4);

struct nvme_id_ns {
	uint64_t nsze; /* blocks */
	uint64_t ncap;
	uint64_t nuse;
	uint8_t nsfeat; /* NVME_NSFEAT_* */
	uint8_t nlbaf;  /* number of formats, 0's based */
	uint8_t flbas;  /* NVME_FLBAS_* */
	uint8_t mc;
	uint8_t dpc;
	uint8_t dps;
	uint8_t nmic;
	uint8_t rescap;
	uint8_t fpi;
	uint8_t dlfeat; /* NVME_DLFEAT_* */
	uint16_t nawun;
	uint16_t nawupf;
	uint16_t nacwu;
	uint16_t nabsn;
	uint16_t nabo;
	uint16_t nabspf;
	uint16_t noiob;
	uint8_t nvmcap[16];
	uint16_t npwg; /* preferred write granularity, blocks, 0's based */
	uint16_t npwa;
	uint16_t npdg;
	uint16_t npda;
	uint16_t nows;
	uint16_t mssrl;
	uint32_t mcl;
	uint8_t msrc;
	uint8_t rsvd81[11];
	uint32_t anagrpid;
	uint8_t rsvd96[3];
	uint8_t nsattr; /* NVME_NSATTR_* */
	uint16_t nvmsetid;
	uint16_t endgid;
	uint8_t nguid[16];
	uint8_t eui64[8];
	struct nvme_lbaf lbaf[64]; /* 16 until 2.0 */
	uint8_t vs[3712];
};
NVME_SIZE(struct nvme_id_ns, 4096);

#define NVME_NSFEAT_THIN    (1u << 0)
#define NVME_NSFEAT_OPTPERF (1u << 4) /* npwg and its neighbours are valid */

/* The index of the format: its bits 5:4 are in bits 6:5, reserved until 2.0. */
#define NVME_FLBAS_INDEX(flbas) (((flbas)&0xfu) | ((flbas) >> 1 & 0x30u))
#define NVME_FLBAS_EXTENDED     (1u << 4) /* metadata follows each block */

#define NVME_DLFEAT_READ_MASK 0x7u
#define NVME_DLFEAT_READ_ZERO 0x1u      /* deallocated blocks read as zeroes */
#define NVME_DLFEAT_DEAC      (1u << 3) /* write zeroes can deallocate */

#define NVME_NSATTR_WRITE_PROTECTED (1u << 0)

#define NVME_NSID_ALL 0xffffffffu
#define NVME_LIST_MAX 1024u /* entries of a namespace list */

/* ---- log pages (5.14) ---- */

enum nvme_lid {
	NVME_LID_ERROR = 0x01,
	NVME_LID_SMART = 0x02,
	NVME_LID_FW_SLOT = 0x03,
	NVME_LID_CHANGED_NS = 0x04,
	NVME_LID_EFFECTS = 0x05,
};

#define NVME_LPA_EXTENDED (1u << 2) /* offsets, and lengths above 4095 dwords */

struct nvme_error_log_page {
	uint64_t error_count;
	uint16_t sqid;
	uint16_t cid;
	uint16_t sf;
	uint16_t pel;
	uint64_t lba;
	uint32_t nsid;
	uint8_t vs;
	uint8_t trtype;
	uint8_t rsvd30[2];
	uint64_t cs;
	uint16_t trtsi;
	uint8_t rsvd42[22];
};
NVME_SIZE(struct nvme_error_log_page, 64);

struct nvme_smart_log {
	uint8_t critical_warning; /* NVME_SMART_* */
	uint8_t temperature[2];   /* kelvin, little-endian */
	uint8_t avail_spare;
	uint8_t spare_thresh;
	uint8_t percent_used;
	uint8_t endu_grp_crit_warn_sumry;
	uint8_t rsvd7[25];
	uint8_t data_units_read[16]; /* 128-bit little-endian, as those below */
	uint8_t data_units_written[16];
	uint8_t host_reads[16];
	uint8_t host_writes[16];
	uint8_t ctrl_busy_time[16];
	uint8_t power_cycles[16];
	uint8_t power_on_hours[16];
	uint8_t unsafe_shutdowns[16];
	uint8_t media_errors[16];
	uint8_t num_err_log_entries[16];
	uint32_t warning_temp_time;
	uint32_t critical_comp_time;
	uint16_t temp_sensor[8];
	uint32_t thm_temp1_trans_count;
	uint32_t thm_temp2_trans_count;
	uint32_t thm_temp1_total_time;
	uint32_t thm_temp2_total_time;
	uint8_t rsvd232[280];
};
NVME_SIZE(struct nvme_smart_log, 512);

#define NVME_SMART_SPARE       (1u << 0)
#define NVME_SMART_TEMPERATURE (1u << 1)
#define NVME_SMART_RELIABILITY (1u << 2)
#define NVME_SMART_READ_ONLY   (1u << 3)
#define NVME_SMART_BACKUP      (1u << 4)

struct nvme_fw_slot {
	uint8_t afi;
	uint8_t rsvd1[7];
	char frs[7][8];
	uint8_t rsvd64[448];
};
NVME_SIZE(struct nvme_fw_slot, 512);

/** Changed Namespace List: ascending, ended by 0; entry 0 NVME_NSID_ALL: too many. */
struct nvme_ns_list {
	uint32_t ns[NVME_LIST_MAX];
};
NVME_SIZE(struct nvme_ns_list, 4096);

#undef NVME_SIZE
#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef RING3_SPEC_NVME_H
#define RING3_SPEC_NVME_H
struct nvme_cmd;
struct nvme_id_ctrl;
#endif

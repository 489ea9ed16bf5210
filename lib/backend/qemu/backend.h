/* SPDX-License-Identifier: BSD-2-Clause */
/* The schemes "qemu:" and "qtest:", for the list in all.c. */
#ifndef RING3_BACKEND_QEMU_BACKEND_H
#define RING3_BACKEND_QEMU_BACKEND_H

struct r3_backend;

extern const struct r3_backend r3_qemu_backend;
extern const struct r3_backend r3_qtest_backend;

#endif

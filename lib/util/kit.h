/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What in-tree drivers build on, and others do not: the class kit, virtio's transport and
 * rings. A driver that is a shared object has to find these functions in the library, so they
 * are exported, but in the version node RING3_PRIVATE of libring3.map, and without a promise: they
 * are for drivers of the same build.
 */
#ifndef RING3_UTIL_KIT_H
#define RING3_UTIL_KIT_H

#define R3_KIT __attribute__((visibility("default")))

#endif

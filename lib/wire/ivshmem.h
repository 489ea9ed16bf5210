/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server's side of the ivshmem protocol (QEMU's docs/specs/ivshmem-spec.txt): a
 * device that signals eventfds of other peers when its doorbell register is written.
 * Messages are 8 bytes, little-endian, some with a descriptor.
 */
#ifndef RING3_WIRE_IVSHMEM_H
#define RING3_WIRE_IVSHMEM_H

#include <stdint.h>

#define R3_IVSHMEM_VERSION   0
#define R3_IVSHMEM_SHM       (-1)   /* message with the shared memory's descriptor */
#define R3_IVSHMEM_PEER_LAST 0xffff /* the doorbell has 16 bits for the peer */

/* Registers in BAR0. */
#define R3_IVSHMEM_DOORBELL 12

/** What to write to the doorbell to signal @vector of @peer. */
static inline uint32_t r3_ivshmem_ring(uint16_t peer, uint16_t vector)
{
	return (uint32_t)peer << 16 | vector;
}

/** Send one message on a non-blocking stream socket, with a copy of @fd unless -1.
 *  Meaning by message: the first is the version, the second the receiver's own id;
 *  then R3_IVSHMEM_SHM with the memory; then for a peer's id each message with
 *  a descriptor adds a vector to that peer, one without means that it has left.
 *  Waits up to @timeout_ms for room. Errors: ETIMEDOUT; EPIPE the receiver is gone;
 *  EMFILE, ETOOMANYREFS too many descriptors are under way. */
int r3_ivshmem_send(int sock, int64_t message, int fd, int timeout_ms);

#endif

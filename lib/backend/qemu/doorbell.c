/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The doorbell: QEMU's ivshmem device signals an eventfd of ours when somebody, such as
 * a device with an MSI message, writes to its register. QEMU is the client, we serve.
 *
 * Ids: 0 is for messages that have no room for an id (MSI), 1 is QEMU, whose eventfds it
 * is never given, as no guest listens; the others are given out once, in order.
 */
#include "backend/qemu/qemu.h"

#include "util/fd.h"
#include "wire/ivshmem.h"

#include <ring3/error.h>

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define PEER_MSI   0
#define PEER_QEMU  1
#define PEER_FIRST 2

#define VENDOR_REDHAT  0x1af4
#define DEVICE_IVSHMEM 0x1110

static int tell(struct r3_qemu_doorbell *bell, int64_t message, int fd)
{
	int rc = r3_ivshmem_send(bell->sock, message, fd, R3_QEMU_TIMEOUT_MS);

	return rc < 0 ? r3_error_set(-rc, "cannot reach QEMU's doorbell: %s", strerror(-rc)) : 0;
}

static int add_vector(struct r3_qemu_doorbell *bell, uint16_t peer, int fd)
{
	return tell(bell, peer, fd >= 0 ? fd : bell->sink);
}

int r3_qemu_doorbell_serve(struct r3_qemu_doorbell *bell, int sock)
{
	int rc = 0, shm;

	*bell = (struct r3_qemu_doorbell){
		.sock = sock,
		.probe = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.sink = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.next_peer = PEER_FIRST,
	};
	/* The device wants memory to share; nobody uses it. */
	shm = memfd_create("ring3-ivshmem", MFD_CLOEXEC);
	if (bell->probe < 0 || bell->sink < 0 || shm < 0 || ftruncate(shm, 4096) < 0)
		rc = r3_error_set(errno, "cannot make a doorbell: %s", strerror(errno));
	if (rc == 0)
		rc = tell(bell, R3_IVSHMEM_VERSION, -1);
	if (rc == 0)
		rc = tell(bell, PEER_QEMU, -1);
	if (rc == 0)
		rc = tell(bell, R3_IVSHMEM_SHM, shm);
	r3_fd_close(&shm);
	return rc;
}

void r3_qemu_doorbell_close(struct r3_qemu_doorbell *bell)
{
	r3_fd_close(&bell->sock);
	r3_fd_close(&bell->probe);
	r3_fd_close(&bell->sink);
	*bell = R3_QEMU_DOORBELL_NONE;
}

int r3_qemu_doorbell_find(struct r3_qemu_doorbell *bell, struct r3_qemu_bus *bus)
{
	for (unsigned devfn = 0; devfn < 256; devfn += 8) {
		uint64_t bar;

		if (r3_pci_get32(&bus->access, 0, devfn, PCI_VENDOR_ID) !=
		    (DEVICE_IVSHMEM << 16 | VENDOR_REDHAT))
			continue;
		r3_pci_put16(&bus->access, 0, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY);
		bar = r3_qemu_bus_bar(bus, 0, devfn, 0);
		if (bar == 0)
			break;
		bell->address = bar + R3_IVSHMEM_DOORBELL;
		bell->message = bell->address;
		return 0;
	}
	return r3_error_set(ENODEV, "QEMU has no doorbell device");
}

/* QEMU takes our messages when it comes to it, but in order: once the last eventfd we
 * sent can be heard, all before it are in place. */
static int ring_until_heard(struct r3_qemu_doorbell *bell, struct r3_qemu_link *link, uint32_t ring)
{
	struct r3_wait wait =
		r3_wait_begin(r3_clock_system(), R3_QEMU_TIMEOUT_MS * R3_NSEC_PER_MSEC);
	struct pollfd heard = {.fd = bell->probe, .events = POLLIN};
	uint64_t count;

	do {
		int rc = r3_qemu_link_rw(link, R3_QTEST_MEMORY, bell->address, &ring, 4, 1,
					 R3_RW_WRITE);
		if (rc < 0)
			return rc;
		/* On receipt QEMU makes the eventfd, which is ours too, block for a moment: a
		 * read in that moment would wait for a ring that nobody repeats. */
		if (poll(&heard, 1, 0) > 0 &&
		    read(bell->probe, &count, sizeof(count)) == sizeof(count))
			return 0;
	} while (r3_wait_step(&wait));
	return r3_error_set(ETIMEDOUT, "QEMU's doorbell is silent");
}

int r3_qemu_doorbell_join(struct r3_qemu_doorbell *bell, struct r3_qemu_link *link, const int *fds,
			  unsigned n, uint16_t *peer)
{
	uint16_t id = (uint16_t)bell->next_peer;
	int rc = 0;

	if (bell->next_peer > R3_IVSHMEM_PEER_LAST)
		return r3_error_set(ENOSPC, "QEMU's doorbell is worn out: open the device again");
	bell->next_peer++;
	for (unsigned i = 0; i < n && rc == 0; i++)
		rc = add_vector(bell, id, fds[i]);
	if (rc == 0)
		rc = tell(bell, id, bell->probe);
	if (rc == 0)
		rc = ring_until_heard(bell, link, r3_ivshmem_ring(id, (uint16_t)n));
	*peer = id;
	return rc;
}

int r3_qemu_doorbell_leave(struct r3_qemu_doorbell *bell, uint16_t peer)
{
	return tell(bell, peer, -1);
}

int r3_qemu_doorbell_append(struct r3_qemu_doorbell *bell, struct r3_qemu_link *link,
			    const int *fds, unsigned n, uint16_t *first)
{
	unsigned begin = (bell->msi_used + n - 1) & ~(n - 1);
	uint16_t proof;
	int rc = 0;

	if (begin + n > R3_QEMU_DOORBELL_VECTORS)
		return r3_error_set(ENOSPC,
				    "QEMU takes no more than %d MSI vectors in its life: "
				    "open the device again",
				    R3_QEMU_DOORBELL_VECTORS);
	for (; bell->msi_used < begin + n && rc == 0; bell->msi_used++)
		rc = add_vector(bell, PEER_MSI,
				bell->msi_used < begin ? -1 : fds[bell->msi_used - begin]);
	if (rc == 0)
		rc = r3_qemu_doorbell_join(bell, link, NULL, 0, &proof);
	if (rc == 0)
		rc = r3_qemu_doorbell_leave(bell, proof);
	*first = (uint16_t)begin;
	return rc;
}

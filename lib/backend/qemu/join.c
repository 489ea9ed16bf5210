/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheme "qtest:": a device of a QEMU that runs already and offers its qtest socket.
 * There, DMA needs RAM in a file that both share (mem=), and MSI is not to be had: nobody
 * serves a doorbell. Removal is seen, by qmp=; a request for it is not.
 */
#include "backend/qemu/backend.h"
#include "backend/qemu/qemu.h"
#include "util/fd.h"
#include "util/socket.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* q35 keeps this much RAM in one piece from address 0 on, where address = file offset. */
#define LOW_RAM UINT64_C(0x80000000)
/* An arena has 64 MiB at least. */
#define RAM_MIN (R3_QEMU_DMA_FIRST + UINT64_C(0x4000000))

struct place {
	unsigned number, devfn;
};

/* "BB:DD.F" */
static int parse_place(const char *text, struct place *place)
{
	unsigned number, slot, function;
	char end;

	if (!text || sscanf(text, "%2x:%2x.%1x%c", &number, &slot, &function, &end) != 3 ||
	    slot > 31 || function > 7)
		return r3_error_set(EINVAL, "qtest: addr=%s is no PCI address like 01:00.0",
				    text ? text : "");
	*place = (struct place){number, slot << 3 | function};
	return 0;
}

/* ---- by name, from QMP's query-pci ---- */

static unsigned get_number(struct json_object *object, const char *key)
{
	struct json_object *field;

	return json_object_object_get_ex(object, key, &field) ? (unsigned)json_object_get_int(field)
							      : 0;
}

static bool search_devices(struct json_object *devices, const char *id, struct place *place)
{
	struct json_object *field, *behind;
	size_t n = json_object_is_type(devices, json_type_array) ? json_object_array_length(devices)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *device = json_object_array_get_idx(devices, i);

		if (json_object_object_get_ex(device, "qdev_id", &field) &&
		    !strcmp(json_object_get_string(field), id)) {
			place->number = get_number(device, "bus") & 0xff;
			place->devfn = (get_number(device, "slot") & 31) << 3 |
				       (get_number(device, "function") & 7);
			return true;
		}
		if (json_object_object_get_ex(device, "pci_bridge", &field) &&
		    json_object_object_get_ex(field, "devices", &behind) &&
		    search_devices(behind, id, place))
			return true;
	}
	return false;
}

static int find_by_name(struct r3_qemu *q, const char *id, struct place *place)
{
	struct json_object *buses, *devices;
	bool found = false;
	int rc;

	if (!q->qmp)
		return r3_error_set(EINVAL, "qtest: device=%s needs qmp=, or use addr=", id);
	rc = r3_qmp_execute(q->qmp, "query-pci", NULL, &buses);
	if (rc < 0)
		return rc;
	for (size_t i = 0; json_object_is_type(buses, json_type_array) && !found &&
			   i < json_object_array_length(buses);
	     i++)
		if (json_object_object_get_ex(json_object_array_get_idx(buses, i), "devices",
					      &devices))
			found = search_devices(devices, id, place);
	json_object_put(buses);
	if (!found)
		return r3_error_set(ENODEV, "qtest: that QEMU has no PCI device with id %s", id);
	q->id = strdup(id);
	return q->id ? 0 : r3_error_set(ENOMEM, "qtest: out of memory");
}

/* ---- the machine ---- */

/* The bridge on bus 0 that the device is behind, if it is behind one. */
static void find_port(struct r3_qemu *q)
{
	struct r3_pci_access *access = &q->bus.access;

	for (unsigned devfn = 0; devfn < 256 && q->number; devfn++) {
		if (!r3_pci_present(access, 0, devfn) ||
		    (r3_pci_get8(access, 0, devfn, PCI_HEADER_TYPE) & R3_PCI_HEADER_LAYOUT) !=
			    PCI_HEADER_TYPE_BRIDGE ||
		    r3_pci_get8(access, 0, devfn, PCI_SECONDARY_BUS) != q->number)
			continue;
		q->port_devfn = devfn;
		q->has_port = true;
		return;
	}
}

static int find_device(struct r3_qemu *q, const struct r3_params *params)
{
	struct place place = {0, 0};
	const char *id, *at;
	bool by_id = r3_params_get(params, "device", &id);
	int rc;

	if (by_id == r3_params_get(params, "addr", &at) || (by_id && (!id || !*id)))
		return r3_error_set(EINVAL, "qtest: needs either device=ID or addr=BB:DD.F");
	rc = by_id ? find_by_name(q, id, &place) : parse_place(at, &place);
	if (rc < 0)
		return rc;
	q->number = place.number;
	q->devfn = place.devfn;
	if (!r3_pci_present(&q->bus.access, q->number, q->devfn))
		return r3_error_set(ENODEV, "qtest: nothing is at %02x:%02x.%x", q->number,
				    q->devfn >> 3, q->devfn & 7);
	find_port(q);
	snprintf(q->name, sizeof(q->name), "qtest:%02x:%02x.%x", q->number, q->devfn >> 3,
		 q->devfn & 7);
	return 0;
}

/* A wrong file would make every transfer go astray: write by one way, read by the other. */
static int prove_memory(struct r3_qemu *q, const char *path)
{
	uint64_t at = r3_mem_size(q->ram) - 8, saved, mark = UINT64_C(0x52494e4733524543);
	uint64_t *here = (uint64_t *)((char *)r3_mem_addr(q->ram) + at);
	bool same;
	int rc = r3_qemu_link_rw(&q->link, R3_QTEST_MEMORY, at, &saved, 8, 1, 0);

	if (rc == 0)
		rc = r3_qemu_link_rw(&q->link, R3_QTEST_MEMORY, at, &mark, 8, 1, R3_RW_WRITE);
	if (rc < 0)
		return rc;
	same = __atomic_load_n(here, __ATOMIC_SEQ_CST) == mark;
	rc = r3_qemu_link_rw(&q->link, R3_QTEST_MEMORY, at, &saved, 8, 1, R3_RW_WRITE);
	if (rc == 0 && !same)
		rc = r3_error_set(EINVAL,
				  "qtest: mem=%s is not that machine's RAM: start it with "
				  "-object memory-backend-file,share=on and -machine "
				  "memory-backend=",
				  path);
	return rc;
}

static int share_memory(struct r3_qemu *q, const char *path)
{
	struct stat st;
	uint64_t size;
	int fd, rc;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = r3_error_set(errno, "qtest: cannot open mem=%s: %s", path, strerror(errno));
		goto out;
	}
	size = (uint64_t)st.st_size < LOW_RAM ? (uint64_t)st.st_size : LOW_RAM;
	size &= ~UINT64_C(0xfff);
	if (size < RAM_MIN) {
		rc = r3_error_set(EINVAL, "qtest: mem=%s is less than 80M of RAM", path);
		goto out;
	}
	/* QEMU's own backend makes it, without seals; whoever shrinks it kills QEMU, too */
	rc = r3_mem_import(fd, 0, size, R3_MEM_UNSEALED, &q->ram);
	if (rc == 0)
		rc = prove_memory(q, path);
out:
	r3_fd_close(&fd);
	return rc;
}

/* ---- qtest: ---- */

static int connect_all(struct r3_qemu *q, const struct r3_params *params)
{
	const char *qmp_at;
	int fd, rc = r3_socket_connect(params->head, &fd);

	if (rc < 0)
		return r3_error_prefix(rc, "qtest");
	r3_qemu_link_open(&q->link, fd, R3_QEMU_TIMEOUT_MS);
	if (!r3_params_get(params, "qmp", &qmp_at))
		return 0;
	rc = r3_socket_connect(qmp_at ? qmp_at : "", &fd);
	if (rc < 0)
		return r3_error_prefix(rc, "qtest: qmp=");
	rc = r3_qmp_open(fd, R3_QEMU_TIMEOUT_MS, r3_qemu_qmp_event, q, &q->qmp);
	if (rc < 0)
		r3_fd_close(&fd);
	return rc;
}

static int open_joined(const struct r3_address *address, const struct r3_open_opts *opts,
		       struct r3_device **out)
{
	static const char *const keys[] = {"addr", "device", "mem", "qmp", NULL};
	const struct r3_params *params = &address->rest;
	const char *mem = NULL;
	struct r3_qemu *q;
	bool assigned = false;
	int rc = r3_params_check(params, "qtest", keys);

	if (rc == 0)
		rc = r3_qemu_create(opts, "qtest", &q);
	if (rc < 0)
		return rc;
	rc = connect_all(q, params);
	if (rc == 0)
		rc = r3_qemu_bus_init(&q->bus, &q->link, &assigned);
	/* where ECAM is on, firmware ran, or we did, and the addresses are in use */
	if (rc == 0 && !assigned)
		rc = r3_qemu_bus_assign(&q->bus, 0);
	if (rc == 0)
		rc = find_device(q, params);
	if (rc == 0 && r3_params_get(params, "mem", &mem))
		rc = share_memory(q, mem ? mem : "");
	if (rc == 0)
		rc = r3_qemu_setup(q);
	if (rc < 0) {
		r3_qemu_destroy(q);
		return rc;
	}
	*out = &q->dev;
	return 0;
}

const struct r3_backend r3_qtest_backend = {
	.scheme = "qtest",
	.summary = "a device model of a running QEMU",
	.open = open_joined,
};

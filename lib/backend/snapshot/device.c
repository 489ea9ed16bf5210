/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The backend "snapshot:PATH": a device that can be looked at, and has no operation but
 * reading. Of configuration space, BARs and the bits that enable decoding take what is
 * written, in memory, so that whoever sizes BARs or enables a device before he looks at
 * it finds what he expects; everything else refuses.
 */
#include "backend/snapshot/snapshot.h"
#include "util/item.h"

#include <ring3/error.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct snapshot_device {
	struct r3_device base;
	struct r3_snapshot is;
	uint8_t takes[PCI_STD_HEADER_SIZEOF]; /* bits that a write changes */
};

static struct snapshot_device *snapshot_of(struct r3_device *dev)
{
	return (struct snapshot_device *)dev;
}

static int snapshot_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	const struct r3_snapshot *s = &snapshot_of(dev)->is;

	info->size = s->region[index].size;
	info->flags = s->region[index].flags;
	return 0;
}

/* ---- reading ---- */

/* A byte of a register; false: nobody has read it. Accesses are rare, so looked for from
 * the beginning. */
static bool register_byte(const struct r3_snapshot *s, unsigned index, uint64_t off, uint8_t *byte)
{
	for (size_t i = 0; i < s->nreg; i++) {
		const struct r3_snapshot_register *reg = &s->reg[i];

		if (reg->region == index && off >= reg->off && off - reg->off < reg->width) {
			*byte = (uint8_t)(reg->value >> 8 * (off - reg->off));
			return true;
		}
	}
	return false;
}

static int read_item(struct snapshot_device *snapshot, unsigned index, uint64_t off, void *item,
		     uint8_t width)
{
	uint64_t value = 0;
	uint8_t byte = 0;

	for (unsigned i = 0; i < width; i++) {
		if (index == R3_REGION_CONFIG)
			byte = __atomic_load_n(&snapshot->is.config[off + i], __ATOMIC_RELAXED);
		else if (!register_byte(&snapshot->is, index, off + i, &byte))
			return r3_error_set(ENODATA, "%s: the snapshot does not have this register",
					    snapshot->base.info.name);
		value |= (uint64_t)byte << 8 * i;
	}
	r3_item_put(item, width, value);
	return 0;
}

/* ---- writing ---- */

static int write_item(struct snapshot_device *snapshot, unsigned index, uint64_t off,
		      const void *item, uint8_t width)
{
	uint64_t value = r3_item_get(item, width);
	bool takes = false;

	for (unsigned i = 0; i < width; i++, off++, value >>= 8) {
		uint8_t mask, *at;

		if (index != R3_REGION_CONFIG || off >= sizeof(snapshot->takes))
			break;
		mask = snapshot->takes[off];
		at = &snapshot->is.config[off];
		takes |= mask != 0;
		__atomic_store_n(
			at,
			(uint8_t)((__atomic_load_n(at, __ATOMIC_RELAXED) & ~mask) | (value & mask)),
			__ATOMIC_RELAXED);
	}
	return takes ? 0
		     : r3_error_set(EACCES,
				    "%s: a snapshot cannot be written; open the device itself",
				    snapshot->base.info.name);
}

static int snapshot_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data,
		       uint8_t width, uint32_t count, unsigned flags)
{
	struct snapshot_device *snapshot = snapshot_of(dev);
	unsigned char *item = data;
	int rc = 0;

	for (uint32_t i = 0; i < count && !rc; i++, off += width, item += width)
		rc = flags & R3_RW_WRITE ? write_item(snapshot, index, off, item, width)
					 : read_item(snapshot, index, off, item, width);
	return rc;
}

/* ---- life ---- */

static void take(struct snapshot_device *snapshot, unsigned off, uint32_t mask)
{
	for (unsigned i = 0; i < 4; i++)
		snapshot->takes[off + i] |= (uint8_t)(mask >> 8 * i);
}

/* The address bits of each BAR, from its size up (PCI 3.0, 6.2.5.1). */
static void take_bars(struct snapshot_device *snapshot)
{
	static const struct {
		unsigned bars, rom;
	} layouts[] = {
		[PCI_HEADER_TYPE_NORMAL] = {6, PCI_ROM_ADDRESS},
		[PCI_HEADER_TYPE_BRIDGE] = {2, PCI_ROM_ADDRESS1},
	};
	const struct r3_snapshot *s = &snapshot->is;
	unsigned layout = s->config[PCI_HEADER_TYPE] & 0x7f;

	take(snapshot, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (layout >= sizeof(layouts) / sizeof(layouts[0]))
		return;
	for (unsigned i = 0; i < layouts[layout].bars; i++) {
		unsigned off = PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask = s->region[i].size ? ~(s->region[i].size - 1) : 0;

		take(snapshot, off, (uint32_t)mask);
		if (s->region[i].flags & R3_REGION_64BIT && i + 1 < layouts[layout].bars)
			take(snapshot, off + 4, (uint32_t)(mask >> 32));
	}
	if (s->region[R3_REGION_ROM].size)
		take(snapshot, layouts[layout].rom,
		     (uint32_t) ~(s->region[R3_REGION_ROM].size - 1) | PCI_ROM_ADDRESS_ENABLE);
}

static void snapshot_close(struct r3_device *dev)
{
	free(snapshot_of(dev)->is.reg);
	free(dev);
}

static const struct r3_bus_ops snapshot_ops = {
	.size = sizeof(struct r3_bus_ops),
	.close = snapshot_close,
	.region_info = snapshot_region_info,
	.rw = snapshot_rw,
};

/* All of @path, an allocation. */
static int read_file(const char *path, char **out, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), rc;
	char *text = NULL;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0)
		return r3_error_set(errno, "snapshot: %s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		rc = r3_error_set(EINVAL, "snapshot: %s is not a file", path);
		goto close_fd;
	}
	text = malloc(R3_SNAPSHOT_FILE);
	if (!text) {
		rc = r3_error_set(ENOMEM, "snapshot: %s: out of memory", path);
		goto close_fd;
	}
	*len = 0;
	while (n > 0 && *len < R3_SNAPSHOT_FILE) {
		n = read(fd, text + *len, R3_SNAPSHOT_FILE - *len);
		if (n > 0)
			*len += (size_t)n;
	}
	if (n < 0)
		rc = r3_error_set(errno, "snapshot: %s: %s", path, strerror(errno));
	else if (n > 0)
		rc = r3_error_set(EFBIG, "snapshot: %s: %u bytes or more are no snapshot", path,
				  R3_SNAPSHOT_FILE);
	else
		rc = 0;
	if (rc)
		free(text);
	else
		*out = text;
close_fd:
	close(fd);
	return rc;
}

static int snapshot_open(const struct r3_address *address, const struct r3_open_opts *opts,
			 struct r3_device **out)
{
	static const char *const known[] = {NULL};
	const char *path = address->rest.head;
	struct snapshot_device *snapshot;
	size_t len = 0;
	char *text = NULL;
	int rc = r3_params_check(&address->rest, "snapshot", known);

	if (rc)
		return rc;
	if (!*path)
		return r3_error_set(EINVAL, "snapshot: which file? it is snapshot:PATH");
	rc = read_file(path, &text, &len);
	if (rc)
		return rc;
	snapshot = calloc(1, sizeof(*snapshot));
	if (!snapshot) {
		rc = r3_error_set(ENOMEM, "snapshot: %s: out of memory", path);
		goto free_text;
	}
	rc = r3_snapshot_parse(path, text, len, &snapshot->is);
	if (rc) {
		free(snapshot);
		goto free_text;
	}
	r3_device_init(&snapshot->base, &snapshot_ops, opts);
	snapshot->base.info.caps = R3_CAP_PCI;
	snapshot->base.info.nregions = R3_SNAPSHOT_REGIONS;
	memcpy(snapshot->base.info.nirqs, snapshot->is.nirqs, sizeof(snapshot->is.nirqs));
	take_bars(snapshot);
	*out = &snapshot->base;
free_text:
	free(text);
	return rc;
}

const struct r3_backend r3_snapshot_backend = {
	.scheme = "snapshot",
	.summary = "the saved state of a device, to be looked at: snapshot:PATH",
	.open = snapshot_open,
};

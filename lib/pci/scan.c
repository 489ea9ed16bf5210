/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * This machine's PCI devices, from what the kernel tells everybody. Devices come and
 * go while the list is made: one whose files cannot be read is not on it.
 */
#include <ring3/error.h>
#include <ring3/pci.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Up to @size bytes of a file. Not blocking, whatever kind of file it is. */
static ssize_t read_file(int dir, const char *name, void *buf, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		n = read(fd, buf, size);
	} while (n < 0 && errno == EINTR);
	close(fd);
	return n;
}

static bool read_number(int dir, const char *name, uint32_t max, uint32_t *value)
{
	char text[32], *end;
	unsigned long number;
	ssize_t n = read_file(dir, name, text, sizeof(text) - 1);

	if (n < 0)
		return false;
	text[n] = '\0';
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	number = strtoul(text, &end, 0);
	if (errno || (*end != '\n' && *end != '\0') || number > max)
		return false;
	*value = (uint32_t)number;
	return true;
}

/* The last part of where a symbolic link points. */
static bool read_target(int dir, const char *name, char *buf, size_t size)
{
	char path[1024];
	ssize_t n = readlinkat(dir, name, path, sizeof(path) - 1);
	const char *slash;

	if (n <= 0)
		return false;
	path[n] = '\0';
	slash = strrchr(path, '/');
	return (size_t)snprintf(buf, size, "%s", slash ? slash + 1 : path) < size;
}

/* Reading configuration space would wake a device that sleeps. */
static uint8_t header_type(int dir, uint32_t class_code)
{
	uint8_t config[PCI_HEADER_TYPE + 1];
	char status[16];
	ssize_t n = read_file(dir, "power/runtime_status", status, sizeof(status));

	if ((n < 9 || memcmp(status, "suspended", 9) != 0) &&
	    read_file(dir, "config", config, sizeof(config)) == (ssize_t)sizeof(config))
		return config[PCI_HEADER_TYPE];
	if (class_code >> 8 == 0x0604)
		return PCI_HEADER_TYPE_BRIDGE;
	return class_code >> 8 == 0x0607 ? PCI_HEADER_TYPE_CARDBUS : PCI_HEADER_TYPE_NORMAL;
}

/* "0000:00:1f.2"; domains have four digits or more. */
static bool parse_name(const char *name, struct r3_pci_entry *entry)
{
	unsigned domain, bus, slot, function;
	int end = 0;

	if (strlen(name) > 16 || strspn(name, "0123456789abcdef:.") != strlen(name) ||
	    sscanf(name, "%8x:%2x:%2x.%1x%n", &domain, &bus, &slot, &function, &end) != 4 ||
	    name[end] != '\0' || slot > 31 || function > 7)
		return false;
	entry->domain = domain;
	entry->bus = (uint8_t)bus;
	entry->slot = (uint8_t)slot;
	entry->function = (uint8_t)function;
	snprintf(entry->address, sizeof(entry->address), "pci:%04x:%02x:%02x.%x", domain, bus, slot,
		 function);
	return true;
}

static bool read_entry(int devices, const char *name, struct r3_pci_entry *entry)
{
	uint32_t vendor, device, class_code, optional;
	char group[16], *end;
	bool ok = false;
	int dir;

	memset(entry, 0, sizeof(*entry));
	if (!parse_name(name, entry))
		return false;
	dir = openat(devices, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	if (!read_number(dir, "vendor", 0xffff, &vendor) ||
	    !read_number(dir, "device", 0xffff, &device) ||
	    !read_number(dir, "class", 0xffffff, &class_code))
		goto close;
	entry->id.vendor = (uint16_t)vendor;
	entry->id.device = (uint16_t)device;
	entry->id.class_code = class_code;
	if (read_number(dir, "subsystem_vendor", 0xffff, &optional))
		entry->id.subsystem_vendor = (uint16_t)optional;
	if (read_number(dir, "subsystem_device", 0xffff, &optional))
		entry->id.subsystem = (uint16_t)optional;
	if (read_number(dir, "revision", 0xff, &optional))
		entry->id.revision = (uint8_t)optional;
	entry->id.header_type = header_type(dir, class_code);
	if (!read_target(dir, "driver", entry->driver, sizeof(entry->driver)))
		entry->driver[0] = '\0';
	entry->iommu_group = -1;
	if (read_target(dir, "iommu_group", group, sizeof(group)) && group[0] >= '0' &&
	    group[0] <= '9') {
		long number = strtol(group, &end, 10);

		if (*end == '\0' && number <= INT32_MAX)
			entry->iommu_group = (int)number;
	}
	ok = true;
close:
	close(dir);
	return ok;
}

static int compare(const void *a, const void *b)
{
	const struct r3_pci_entry *x = a, *y = b;

	if (x->domain != y->domain)
		return x->domain < y->domain ? -1 : 1;
	return ((x->bus << 8) | (x->slot << 3) | x->function) -
	       ((y->bus << 8) | (y->slot << 3) | y->function);
}

static int scan(DIR *dir, struct r3_pci_entry **list, unsigned *n)
{
	unsigned room = 0;
	struct dirent *file;

	while ((file = readdir(dir)) != NULL) {
		if (*n == room) {
			struct r3_pci_entry *more;

			room = room ? room * 2 : 32;
			more = reallocarray(*list, room, sizeof(*more));
			if (more == NULL)
				return r3_error_set(ENOMEM, "pci: no memory for %u devices", room);
			*list = more;
		}
		if (read_entry(dirfd(dir), file->d_name, &(*list)[*n]))
			(*n)++;
	}
	return 0;
}

int r3_pci_scan(const char *sysfs, struct r3_pci_entry **out, unsigned *n)
{
	struct r3_pci_entry *list = NULL;
	char path[4096];
	DIR *dir;
	int rc;

	*out = NULL;
	*n = 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/bus/pci/devices", sysfs ? sysfs : "/sys") >=
	    sizeof(path))
		return r3_error_set(ENAMETOOLONG, "pci: the path of sysfs is too long");
	dir = opendir(path);
	if (dir == NULL && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (dir == NULL)
		return r3_error_set(errno, "pci: %s: %m", path);
	rc = scan(dir, &list, n);
	closedir(dir);
	if (rc || *n == 0) {
		free(list);
		*n = 0;
		return rc;
	}
	qsort(list, *n, sizeof(*list), compare);
	*out = list;
	return 0;
}

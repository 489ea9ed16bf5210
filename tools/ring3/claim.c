/* SPDX-License-Identifier: BSD-2-Clause */
/* From an address to what it names on this machine, and a claim on that. */
#include "in_use.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ring3/address.h>
#include <ring3/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Locks are asked for without waiting: whoever has one has a reason. */
static int lock(int fd, const char *path)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK)
		return r3_error_set(
			EBUSY, "%s: another process has it open and locked: end it first", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return r3_error_set(EBUSY, "%s: another process has locked it: end it first", path);
	return 0;
}

static int claim_path(const char *path, int *out)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct in_use_target target = {.path = path};
	struct stat st;
	int fd = open(path, flags), rc;

	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = r3_error_set(errno, "%s: cannot be opened: %s", path, strerror(errno));
		goto fail;
	}
	target.dev = st.st_dev;
	target.ino = st.st_ino;
	target.rdev = S_ISBLK(st.st_mode) ? st.st_rdev : 0;
	rc = in_use_check("", &target);
	if (rc < 0)
		goto fail;
	if (target.rdev) {
		/* the kernel's word counts: it refuses what is claimed, and keeps our claim */
		close(fd);
		fd = open(path, flags | O_EXCL);
		if (fd < 0) {
			rc = r3_error_set(errno, "%s: cannot be had for itself: %s", path,
					  strerror(errno));
			goto fail;
		}
	}
	rc = lock(fd, path);
	if (rc < 0)
		goto fail;
	*out = fd;
	return 0;
fail:
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Drivers that hold a device for programs such as this one. */
static const char *const stand_ins[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "pci-stub", NULL};

static int check_pci(const char *bdf)
{
	char path[PATH_MAX], target[PATH_MAX], *driver;
	ssize_t len;

	if (strchr(bdf, '/'))
		return 0; /* no address: whoever opens it says so */
	/* the domain may be left out */
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s%.64s/driver",
		 strlen(bdf) == 7 ? "0000:" : "", bdf);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return 0;
	target[len] = '\0';
	driver = strrchr(target, '/');
	driver = driver ? driver + 1 : target;
	for (const char *const *name = stand_ins; *name; name++) {
		if (!strcmp(*name, driver))
			return 0;
	}
	return r3_error_set(EBUSY, "%s: the kernel's driver %s has it: unbind that first", bdf,
			    driver);
}

static bool is_pci(const char *scheme)
{
	return !strcmp(scheme, "pci") || !strcmp(scheme, "vfio") || !strcmp(scheme, "uio");
}

int in_use_claim(const char *text, bool writes, int *fd)
{
	struct r3_address *address;
	const char *path = NULL;
	int rc = r3_address_parse(text, &address);

	*fd = -1;
	if (rc < 0)
		return rc;
	if (!strcmp(address->scheme, "file"))
		path = address->rest.head;
	else
		(void)r3_params_get(&address->rest, "drive", &path);
	if (is_pci(address->scheme))
		rc = check_pci(address->rest.head);
	else if (path && writes)
		rc = claim_path(path, fd);
	r3_address_free(address);
	return rc;
}

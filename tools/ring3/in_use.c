/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads /proc and /sys for whoever has a block device or an image file. The kernel's own
 * exclusive claim (O_EXCL) would do for block devices, but it only says "busy"; and it
 * says nothing of files.
 */
#include "in_use.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <ring3/error.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FIELDS_MAX 64

/* The blank-separated words of a line, with \040 and its like decoded. */
static unsigned split(char *line, char **word, unsigned max)
{
	char *rest = NULL;
	unsigned n = 0;

	for (char *at = strtok_r(line, " \t\n", &rest); at && n < max;
	     at = strtok_r(NULL, " \t\n", &rest)) {
		char *to = at;

		word[n++] = at;
		for (const char *from = at; *from; to++) {
			unsigned code;

			if (from[0] == '\\' && sscanf(from + 1, "%3o", &code) == 1 && code) {
				*to = (char)code;
				from += 4;
			} else {
				*to = *from++;
			}
		}
		*to = '\0';
	}
	return n;
}

/* Whether the file at @path is the target, or the device with this number. */
static bool is_target(const char *path, const struct in_use_target *target, dev_t rdev)
{
	struct stat st;

	if (path[0] != '/' || stat(path, &st) < 0)
		return false;
	if (rdev)
		return S_ISBLK(st.st_mode) && st.st_rdev == rdev;
	return st.st_dev == target->dev && st.st_ino == target->ino;
}

static FILE *open_below(const char *root, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", root, path);
	return fopen(full, "re");
}

/* "ID PARENT MAJ:MIN ROOT WHERE OPTIONS [TAG...] - TYPE SOURCE ..." (proc(5)). A file system
 * on several devices (btrfs) has a number of none of them, but one of them as its source. */
static int check_mounts(const char *root, const struct in_use_target *target, dev_t rdev)
{
	FILE *file = open_below(root, "/proc/self/mountinfo");
	char *line = NULL, *word[FIELDS_MAX], where[PATH_MAX] = "";
	size_t size = 0;

	while (file && !where[0] && getline(&line, &size, file) > 0) {
		unsigned n = split(line, word, FIELDS_MAX), dash = 6, major, minor;

		if (n < 5 || sscanf(word[2], "%u:%u", &major, &minor) != 2)
			continue;
		while (dash < n && strcmp(word[dash], "-") != 0)
			dash++;
		if ((rdev && makedev(major, minor) == rdev) ||
		    (dash + 2 < n && is_target(word[dash + 2], target, rdev)))
			snprintf(where, sizeof(where), "%s", word[4]);
	}
	free(line);
	if (!file)
		return r3_error_set(EBUSY, "%s: cannot see what is mounted: give it a /proc",
				    target->path);
	fclose(file);
	if (where[0])
		return r3_error_set(EBUSY, "%s: is mounted on %s: unmount it first", target->path,
				    where);
	return 0;
}

static int check_swap(const char *root, const struct in_use_target *target, dev_t rdev)
{
	FILE *file = open_below(root, "/proc/swaps");
	char *line = NULL, *word[FIELDS_MAX];
	bool found = false;
	size_t size = 0;

	while (file && !found && getline(&line, &size, file) > 0)
		found = split(line, word, FIELDS_MAX) && is_target(word[0], target, rdev);
	free(line);
	if (file) /* a kernel without swap has no such file */
		fclose(file);
	if (found)
		return r3_error_set(EBUSY, "%s: is swapped to: use swapoff first", target->path);
	return 0;
}

/* Devices that stand on this one: device mapper, RAID. */
static int check_holders(const char *root, const struct in_use_target *target, dev_t rdev)
{
	char path[PATH_MAX], holder[NAME_MAX + 1] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/sys/dev/block/%u:%u/holders", root, major(rdev),
		 minor(rdev));
	dir = opendir(path);
	while (dir && !holder[0] && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			snprintf(holder, sizeof(holder), "%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (holder[0])
		return r3_error_set(EBUSY, "%s: /dev/%s is built on it: take that down first",
				    target->path, holder);
	return 0;
}

static int check_device(const char *root, const struct in_use_target *target, dev_t rdev)
{
	int rc = check_mounts(root, target, rdev);

	if (rc == 0)
		rc = check_swap(root, target, rdev);
	return rc == 0 && rdev ? check_holders(root, target, rdev) : rc;
}

/* The numbers in the file "dev" of the device's folder, or of one beside or below. */
static dev_t number_at(const char *root, dev_t rdev, const char *path)
{
	char full[PATH_MAX];
	unsigned major_number, minor_number;
	dev_t found = 0;
	FILE *file;

	snprintf(full, sizeof(full), "/sys/dev/block/%u:%u/%s/dev", major(rdev), minor(rdev), path);
	file = open_below(root, full);
	if (file && fscanf(file, "%u:%u", &major_number, &minor_number) == 2)
		found = makedev(major_number, minor_number);
	if (file)
		fclose(file);
	return found;
}

static bool is_partition(const char *root, dev_t rdev, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s/sys/dev/block/%u:%u/%s/partition", root, major(rdev),
		 minor(rdev), path);
	return access(full, F_OK) == 0;
}

/* A disk's partitions have folders in its own. */
static int check_family(const char *root, const struct in_use_target *target)
{
	dev_t rdev = target->rdev, disk = 0;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/sys/dev/block/%u:%u", root, major(rdev), minor(rdev));
	dir = opendir(path);
	if (!dir)
		return r3_error_set(EBUSY, "%s: cannot see who uses it: give it a /sys",
				    target->path);
	while (rc == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && is_partition(root, rdev, entry->d_name))
			rc = check_device(root, target, number_at(root, rdev, entry->d_name));
	}
	closedir(dir);
	if (rc == 0 && is_partition(root, rdev, "."))
		disk = number_at(root, rdev, "..");
	return disk ? check_device(root, target, disk) : rc;
}

/* Loop devices that have the file. */
static int check_loops(const char *root, const struct in_use_target *target)
{
	char path[PATH_MAX], name[NAME_MAX + 1] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/sys/block", root);
	dir = opendir(path);
	while (dir && !name[0] && (entry = readdir(dir))) {
		char *line = NULL;
		size_t size = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : open_below(root, path);
		if (!file)
			continue;
		if (getline(&line, &size, file) > 0) {
			line[strcspn(line, "\n")] = '\0';
			if (is_target(line, target, 0))
				snprintf(name, sizeof(name), "%s", entry->d_name);
		}
		free(line);
		fclose(file);
	}
	if (dir)
		closedir(dir);
	if (name[0])
		return r3_error_set(EBUSY, "%s: is attached to /dev/%s: use losetup -d first",
				    target->path, name);
	return 0;
}

int in_use_check(const char *root, const struct in_use_target *target)
{
	int rc = check_device(root, target, target->rdev);

	if (rc < 0)
		return rc;
	return target->rdev ? check_family(root, target) : check_loops(root, target);
}

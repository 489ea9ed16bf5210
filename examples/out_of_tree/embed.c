/* SPDX-License-Identifier: BSD-2-Clause */
/* A program that embeds a driver: write to the disk, read it back, compare. */
#include "edu_disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND R3_NSEC_PER_SEC

int main(int argc, char **argv)
{
	unsigned char wrote[1536], read[1536];
	struct r3_device *dev;
	struct r3_block *disk = NULL;
	struct r3_blkq *queue = NULL;
	int rc;

	for (size_t i = 0; i < sizeof(wrote); i++)
		wrote[i] = (unsigned char)(i * 7 + 1);
	rc = r3_device_open(argc > 1 ? argv[1] : "qemu:edu", NULL, &dev);
	if (rc < 0)
		goto out;
	rc = r3_block_attach(dev, &edu_disk, NULL, &disk); /* the device is the disk's now */
	if (rc < 0)
		goto out;
	rc = r3_blkq_open(disk, NULL, &queue);
	if (rc < 0)
		goto out;
	rc = r3_blkq_do(queue, R3_BLK_WRITE, 0, 512, wrote, sizeof(wrote), 10 * SECOND);
	if (rc == 0)
		rc = r3_blkq_do(queue, R3_BLK_READ, 0, 512, read, sizeof(read), 10 * SECOND);
	if (rc == 0 && memcmp(wrote, read, sizeof(read)) != 0)
		rc = r3_error_set(EIO, "read back something else");
out:
	if (rc < 0)
		fprintf(stderr, "embed: %s\n", r3_error_text());
	else
		printf("%s: wrote and read %zu bytes\n", r3_block_name(disk), sizeof(read));
	r3_blkq_close(queue);
	r3_block_close(disk);
	return rc < 0;
}

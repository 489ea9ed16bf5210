/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA: a text goes into edu's buffer and comes back. edu reaches only the first
 * 256 MiB of device addresses and moves one piece at a time: a tag says so once, and
 * each load then gives one address that edu can reach, wherever the text was.
 */
#include <ring3/ring3.h>
#include <stdio.h>
#include <string.h>

enum {
	IRQ_STATUS = 0x24,
	IRQ_ACK = 0x64,
	DMA_SOURCE = 0x80,
	DMA_TARGET = 0x88,
	DMA_COUNT = 0x90,
	DMA_COMMAND = 0x98,
	DMA_BUFFER = 0x40000, /* where edu keeps its 4 KiB, as the device sees it */
};
enum { DMA_START = 1 << 0, DMA_TO_MEMORY = 1 << 1, DMA_IRQ = 1 << 2 };

struct edu {
	struct r3_device *dev;
	struct r3_region *bar;
	struct r3_irq_set *irq;
	struct r3_dma_tag *tag;
	struct r3_dma_map *map;
};

static int transfer(struct edu *edu, void *buf, size_t len, bool to_memory)
{
	unsigned way = to_memory ? R3_DMA_FROM_DEVICE : R3_DMA_TO_DEVICE, nseg;
	uint64_t address;
	int64_t rc = r3_dma_load(edu->map, buf, len, way, NULL);

	if (rc < 0)
		return (int)rc;
	address = r3_dma_segs(edu->map, &nseg)[0].addr.v;
	r3_dma_sync(edu->map, to_memory ? R3_DMA_PREREAD : R3_DMA_PREWRITE);
	r3_write64(edu->bar, DMA_SOURCE, to_memory ? DMA_BUFFER : address);
	r3_write64(edu->bar, DMA_TARGET, to_memory ? address : DMA_BUFFER);
	r3_write64(edu->bar, DMA_COUNT, len);
	r3_write64(edu->bar, DMA_COMMAND, DMA_START | DMA_IRQ | (to_memory ? DMA_TO_MEMORY : 0));

	rc = r3_irq_wait(edu->irq, 0, 5 * R3_NSEC_PER_SEC);
	r3_write32(edu->bar, IRQ_ACK, r3_read32(edu->bar, IRQ_STATUS));
	if (rc >= 0)
		r3_dma_sync(edu->map, to_memory ? R3_DMA_POSTREAD : R3_DMA_POSTWRITE);
	r3_dma_unload(edu->map);
	return rc < 0 ? (int)rc : 0;
}

static int set_up(struct edu *edu, const char *address)
{
	const struct r3_dma_constraints constraints = {
		.size = sizeof(constraints),
		.max_segments = 1,
		.max_len = 4096,
		.highest = 0x0fffffff,
	};

	return r3_device_open(address, NULL, &edu->dev) < 0 ||
	       r3_device_region(edu->dev, R3_REGION_BAR0, &edu->bar) < 0 ||
	       r3_pci_enable(edu->dev, R3_PCI_MEMORY | R3_PCI_MASTER, 0) < 0 ||
	       r3_irq_enable(edu->dev, R3_IRQ_BEST, 1, 1, &edu->irq) < 0 ||
	       r3_dma_tag_create(edu->dev, NULL, &constraints, &edu->tag) < 0 ||
	       r3_dma_map_create(edu->tag, 4096, &edu->map) < 0;
}

int main(int argc, char **argv)
{
	char out[64] = "through the device and back", back[64] = "";
	struct edu edu = {0};
	int status = 1;

	if (set_up(&edu, argc > 1 ? argv[1] : "qemu:edu") ||
	    transfer(&edu, out, sizeof(out), false) < 0 ||
	    transfer(&edu, back, sizeof(back), true) < 0) {
		fprintf(stderr, "dma: %s\n", r3_error_text());
	} else {
		printf("%s\n", back);
		status = strcmp(out, back) != 0;
	}
	r3_dma_map_destroy(edu.map);
	r3_dma_tag_unref(edu.tag);
	r3_irq_disable(edu.irq);
	r3_device_close(edu.dev);
	return status;
}

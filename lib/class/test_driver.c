/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Matching, and a driver as somebody outside would write it: a block device of a
 * device that has nothing but a configuration space.
 */
#include "unit.h"

#include "bus/ops.h"
#include "class/test_provider.h"
#include "util/item.h"

#include <errno.h>
#include <string.h>

/* A class that no driver here will ever be for. */
#define ODD_CLASS 0xf0aa55

struct card {
	struct r3_device dev;
	unsigned char config[256];
	bool *closed;
};

static void card_close(struct r3_device *dev)
{
	struct card *card = (struct card *)dev;

	*card->closed = true;
	free(card);
}

static int card_region_info(struct r3_device *dev, unsigned index, struct r3_region_info *info)
{
	if (index == R3_REGION_CONFIG)
		*info = (struct r3_region_info){
			.size = sizeof(((struct card *)dev)->config),
			.flags = R3_REGION_READ | R3_REGION_WRITE,
			.fd = -1,
		};
	return 0;
}

static int card_rw(struct r3_device *dev, unsigned index, uint64_t off, void *data, uint8_t width,
		   uint32_t count, unsigned flags)
{
	unsigned char *at = ((struct card *)dev)->config + off, *item = data;

	for (; count; count--, at += width, item += width) {
		if (flags & R3_RW_WRITE)
			r3_item_put_le(at, width, r3_item_get(item, width));
		else
			r3_item_put(item, width, r3_item_get_le(at, width));
	}
	return 0;
}

static const struct r3_bus_ops card_ops = {
	.size = sizeof(card_ops),
	.close = card_close,
	.region_info = card_region_info,
	.rw = card_rw,
};

static struct r3_device *make_card(unsigned caps, uint32_t id, uint32_t class_code, bool *closed)
{
	struct card *card = calloc(1, sizeof(*card));

	assert_non_null(card);
	*closed = false;
	card->closed = closed;
	const uint32_t words[3] = {R3_LE32(id), 0, R3_LE32(class_code << 8)};
	memcpy(card->config, words, sizeof(words));
	r3_device_init(&card->dev, &card_ops, NULL);
	card->dev.info.name = "card";
	card->dev.info.caps = caps;
	card->dev.info.nregions = R3_REGION_CONFIG + 1;
	assert_int_equal(r3_device_adopt(&card->dev, "card:"), 0);
	return &card->dev;
}

/* ---- the driver ---- */

struct disk {
	struct provider p; /* begins with struct r3_block */
	struct r3_device *dev;
};

static struct r3_block_ops disk_ops;
static void (*provider_close)(struct r3_block *block);

static void disk_close(struct r3_block *block)
{
	struct disk *disk = (struct disk *)block;

	provider_close(block);
	r3_device_close(disk->dev);
	free(disk);
}

static struct r3_device *disk_device(const struct r3_block *block)
{
	return ((const struct disk *)block)->dev;
}

static int disk_attach(struct r3_device *dev, const struct r3_block_opts *opts,
		       struct r3_block **out)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	if (!disk)
		return r3_error_set(ENOMEM, "%s: no memory", r3_device_get_info(dev)->name);
	provider_init(&disk->p);
	provider_close = disk->p.base.ops->close;
	disk_ops = *disk->p.base.ops;
	disk_ops.close = disk_close;
	disk_ops.device = disk_device;
	disk->p.base.ops = &disk_ops;
	disk->p.done_in_kick = true;
	disk->dev = dev;
	*out = &disk->p.base;
	return 0;
}

static const struct r3_match disk_match[] = {
	{.vendor = 0x1234, .device = 0x5678, .class_code = R3_MATCH_ANY},
	{.vendor = R3_MATCH_ANY,
	 .device = R3_MATCH_ANY,
	 .class_code = ODD_CLASS,
	 .class_mask = 0xffff00},
	{.vendor = 0x8086, .device = R3_MATCH_ANY, .class_code = R3_MATCH_ANY},
};

static const struct r3_driver_v1 disk_driver = {
	.size = sizeof(disk_driver),
	.abi = R3_DRIVER_ABI,
	.name = "disk",
	.summary = "a disk that is not there",
	.class_id = R3_CLASS_BLOCK,
	.nmatch = sizeof(disk_match) / sizeof(disk_match[0]),
	.match = disk_match,
	.attach_block = disk_attach,
};

static void test_match(void **state)
{
	static const struct {
		struct r3_pci_id id;
		int grade;
	} cases[] = {
		{{.vendor = 0x1234, .device = 0x5678, .class_code = 0x010802}, 2},
		{{.vendor = 0x1234, .device = 0x5678, .class_code = ODD_CLASS}, 2},
		{{.vendor = 0x1234, .device = 0x5679, .class_code = 0x010802}, 0},
		{{.vendor = 0x1111, .device = 0x2222, .class_code = ODD_CLASS}, 1},
		{{.vendor = 0x1111, .device = 0x2222, .class_code = ODD_CLASS ^ 0xff}, 1},
		{{.vendor = 0x1111, .device = 0x2222, .class_code = ODD_CLASS ^ 0x100}, 0},
		{{.vendor = 0x8086, .device = 0x2222, .class_code = 0}, 1},
		{{.vendor = 0x5678, .device = 0x1234, .class_code = 0}, 0},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(r3_driver_match(&disk_driver, &cases[i].id), cases[i].grade);

	struct r3_driver_v1 nobody = disk_driver;
	nobody.nmatch = 0;
	assert_int_equal(r3_driver_match(&nobody, &cases[0].id), 0);
}

static void test_find_refuses(void **state)
{
	const struct r3_driver_v1 *found = NULL;
	bool closed;
	struct r3_device *dev = make_card(R3_CAP_PCI, 0xbeefdead, ODD_CLASS, &closed);

	assert_int_equal(r3_driver_find(dev, "no-such-driver", &found), -ENODEV);
	assert_non_null(strstr(r3_error_text(), "no-such-driver"));
	assert_int_equal(r3_driver_find(dev, NULL, &found), -ENODEV);
	assert_non_null(strstr(r3_error_text(), "dead:beef"));
	assert_null(found);
	/* Each driver linked in can be asked for by name. */
	for (const struct r3_driver_v1 *const *d = r3_drivers(); *d; d++) {
		assert_int_equal(r3_driver_find(dev, (*d)->name, &found), 0);
		assert_ptr_equal(found, *d);
	}
	r3_device_close(dev);
	assert_true(closed);

	dev = make_card(0, 0, 0, &closed);
	assert_int_equal(r3_driver_find(dev, NULL, &found), -ENODEV);
	r3_device_close(dev);
	assert_true(closed);
}

static void test_driver_from_outside(void **state)
{
	static char buf[131072];
	bool closed;
	struct r3_device *dev = make_card(R3_CAP_PCI, 0x56781234, 0x018000, &closed);
	struct r3_block *block = NULL;
	struct r3_blkq *queue = NULL;
	struct r3_pci_id id;

	assert_int_equal(r3_pci_identify(dev, &id), 0);
	assert_int_equal(r3_driver_match(&disk_driver, &id), 2);
	assert_int_equal(r3_block_attach(dev, &disk_driver, NULL, &block), 0);
	assert_ptr_equal(r3_block_device(block), dev);
	assert_int_equal(r3_blkq_open(block, NULL, &queue), 0);
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 4096, buf, sizeof(buf), R3_NSEC_PER_SEC),
			 0);
	assert_int_equal(((struct disk *)block)->p.data_len, sizeof(buf));
	assert_int_equal(r3_blkq_do(queue, R3_BLK_READ, 0, 512, buf, 4096, R3_NSEC_PER_SEC),
			 -EINVAL);
	r3_blkq_close(queue);
	assert_false(closed);
	r3_block_close(block);
	assert_true(closed);
}

static int lying_attach(struct r3_device *dev, const struct r3_block_opts *opts,
			struct r3_block **out)
{
	int rc = disk_attach(dev, opts, out);

	if (rc == 0)
		(*out)->limits.block_size = 511;
	return rc;
}

static int failing_attach(struct r3_device *dev, const struct r3_block_opts *opts,
			  struct r3_block **out)
{
	return r3_error_set(ETIMEDOUT, "it does not come up");
}

static void test_attach_refuses(void **state)
{
	struct r3_driver_v1 driver = disk_driver;
	struct r3_block_opts short_opts = {.size = 4};
	struct r3_block *block;
	bool closed;

	/* whatever is wrong, the device is closed */
#define ATTACH(driver_, opts) \
	r3_block_attach(make_card(R3_CAP_PCI, 0x56781234, 0x018000, &closed), driver_, opts, &block)
	assert_int_equal(ATTACH(&driver, &short_opts), -EINVAL);
	assert_true(closed);
	driver.abi++;
	assert_int_equal(ATTACH(&driver, NULL), -ENODEV);
	assert_true(closed);
	driver = disk_driver;
	driver.class_id = R3_CLASS_BLOCK + 1;
	assert_int_equal(ATTACH(&driver, NULL), -ENODEV);
	assert_true(closed);
	driver = disk_driver;
	driver.attach_block = failing_attach;
	assert_int_equal(ATTACH(&driver, NULL), -ETIMEDOUT);
	assert_true(closed);
	driver.attach_block = lying_attach;
	assert_int_equal(ATTACH(&driver, NULL), -EIO);
	assert_non_null(strstr(r3_error_text(), "511"));
	assert_true(closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_find_refuses),
		cmocka_unit_test(test_driver_from_outside),
		cmocka_unit_test(test_attach_refuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

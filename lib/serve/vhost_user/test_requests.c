/* SPDX-License-Identifier: BSD-2-Clause */
/* What a chain becomes: which requests the block device gets, out of whose memory, and what
 * the driver is told; and chains that cannot be right. */
#include "serve/vhost_user/test_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

static const uint64_t layouts[] = {0, VIRTIO_FEATURE(VIRTIO_F_RING_PACKED)};

/* ---- data ---- */

static void read_and_write_in_place(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct rig rig = {.features = 0};
		const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 8192),
						 rig_seg(16, 1)};
		const struct r3_blk_req *req;
		uint32_t written;

		rig_open(&rig);
		rig_start(&rig, layouts[i], 1);
		rig.provider.done_in_kick = false;
		rig_header(&rig, 0, VIRTIO_BLK_T_IN, 16);
		rig_push(&rig, 5, seg, 1, 2);
		assert_int_equal(rig_block_queue(&rig, 0)->n, 1);
		req = rig_block_queue(&rig, 0)->req[0];
		assert_int_equal(req->op, R3_BLK_READ);
		assert_int_equal(req->off, 16 * 512);
		assert_int_equal(req->len, 8192);
		assert_int_equal(req->nsg, 1);
		/* the front-end's memory itself, mapped here */
		memset(req->sg[0].addr, 0x5a, req->sg[0].len);
		assert_int_equal(rig_pop(&rig, &written), -1);
		assert_false(rig_signalled(rig.call[0]));
		provider_complete(rig_block_queue(&rig, 0), 0);
		rig_pump(&rig);
		assert_true(rig_signalled(rig.call[0]));
		assert_int_equal(rig_pop(&rig, &written), 5);
		assert_int_equal(written, 8193);
		assert_int_equal(*(char *)rig_data(&rig, 16), VIRTIO_BLK_S_OK);
		for (unsigned at = 0; at < 8192; at++)
			assert_int_equal(((char *)rig_data(&rig, 4096))[at], 0x5a);
		rig.provider.done_in_kick = true;
		assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
		rig_close(&rig);
	}
}

/* By whoever it is to wake, who has the driver process wait for it. */
static void an_interrupt_that_is_full_is_not_waited_for(void **state)
{
	struct rig rig = {.features = 0};

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	assert_int_equal(fcntl(rig.call[0], F_SETFL, 0), 0);
	assert_int_equal(eventfd_write(rig.call[0], UINT64_MAX - 1), 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* 2.7.4: a chain may be cut anywhere. */
static void cut_as_the_driver_likes(void **state)
{
	struct rig rig = {.features = 0};
	const struct r3_dma_seg all_out[] = {rig_seg(0, 16 + 4096), rig_seg(8192, 1)};
	const struct r3_dma_seg pieces[] = {rig_seg(0, 3), rig_seg(3, 13), rig_seg(4096, 4000),
					    rig_seg(20000, 90), rig_seg(30000, 6 + 1)};
	const struct r3_blk_req *req;
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	rig.provider.done_in_kick = false;
	rig_header(&rig, 0, VIRTIO_BLK_T_OUT, 8);
	rig_push(&rig, 1, all_out, 1, 1);
	req = rig_block_queue(&rig, 0)->req[0];
	assert_int_equal(req->nsg, 1);
	assert_int_equal(req->len, 4096);
	memset(rig_data(&rig, 16), 0x77, 4096);
	assert_int_equal(*(char *)req->sg[0].addr, 0x77);
	assert_int_equal(((char *)req->sg[0].addr)[4095], 0x77);
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	assert_int_equal(rig_pop(&rig, &written), 1);
	assert_int_equal(written, 1);

	/* header in two, data in three, the status behind the last */
	rig_header(&rig, 0, VIRTIO_BLK_T_IN, 8);
	rig_push(&rig, 2, pieces, 2, 3);
	req = rig_block_queue(&rig, 0)->req[0];
	assert_int_equal(req->nsg, 3);
	assert_int_equal(req->len, 4096);
	assert_int_equal(req->sg[2].len, 6);
	*(unsigned char *)rig_data(&rig, 30006) = 0xff;
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	assert_int_equal(rig_pop(&rig, &written), 2);
	assert_int_equal(written, 4097);
	assert_int_equal(*(unsigned char *)rig_data(&rig, 30006), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* The block device takes 64 KiB in 4 pieces; the driver knows of neither. */
static void longer_than_the_device_takes(void **state)
{
	struct rig rig = {.features = 0};
	struct r3_dma_seg seg[10] = {rig_seg(0, 16)};
	uint64_t off = 0, pieces = 0;
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	rig.provider.done_in_kick = false;
	rig_header(&rig, 0, VIRTIO_BLK_T_OUT, 0);
	seg[1] = rig_seg(65536, 200 << 10);
	for (unsigned i = 2; i < 9; i++) /* and 7 of 4 KiB, each of its own */
		seg[i] = rig_seg(600000 + i * 8192, 4096);
	seg[9] = rig_seg(16, 1);
	rig_push(&rig, 3, seg, 9, 1);
	while (rig_block_queue(&rig, 0)->n) {
		const struct r3_blk_req *req = rig_block_queue(&rig, 0)->req[0];

		assert_int_equal(rig_block_queue(&rig, 0)->n, 1); /* one after the other */
		assert_int_equal(req->off, off);
		assert_true(req->len <= 65536 && req->nsg <= 4);
		off += req->len;
		pieces++;
		assert_int_equal(rig_pop(&rig, &written), -1);
		provider_complete(rig_block_queue(&rig, 0), 0);
		rig_pump(&rig);
	}
	assert_int_equal(off, (200 << 10) + 7 * 4096);
	assert_int_equal(pieces, 3 + 1 + 1);
	assert_int_equal(rig_pop(&rig, &written), 3);
	assert_int_equal(*(char *)rig_data(&rig, 16), VIRTIO_BLK_S_OK);

	/* the second part fails, and there is no third */
	*(unsigned char *)rig_data(&rig, 16) = 0xff;
	rig_push(&rig, 4, seg, 9, 1);
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	provider_complete(rig_block_queue(&rig, 0), -EIO);
	rig_pump(&rig);
	assert_int_equal(rig_block_queue(&rig, 0)->n, 0);
	assert_int_equal(rig_pop(&rig, &written), 4);
	assert_int_equal(*(char *)rig_data(&rig, 16), VIRTIO_BLK_S_IOERR);
	rig_close(&rig);
}

/* ---- everything else ---- */

static void identity(void **state)
{
	struct rig rig = {.opts = {.size = sizeof(rig.opts), .serial = "serial 17"}};

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	assert_memory_equal(rig_data(&rig, 4096), "serial 17\0\0\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_GET_ID, 0, 19), VIRTIO_BLK_S_IOERR);
	rig_close(&rig);
}

static void put_range(struct rig *rig, unsigned i, uint64_t sector, uint32_t n, uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes range = {R3_LE64(sector), R3_LE32(n),
							      R3_LE32(flags)};

	memcpy((char *)rig_data(rig, 4096) + i * sizeof(range), &range, sizeof(range));
}

static void ranges(void **state)
{
	const uint64_t all =
		VIRTIO_FEATURE(VIRTIO_BLK_F_DISCARD) | VIRTIO_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	struct rig rig = {.features = 0};

	rig_open(&rig);
	rig_start(&rig, all, 1);
	for (unsigned i = 0; i < 32; i++)
		put_range(&rig, i, 8 * i, 8, 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 32 * 16), VIRTIO_BLK_S_OK);
	assert_int_equal(rig.provider.submitted, 32);
	assert_int_equal(rig.provider.data_len, 32 * 4096);
	put_range(&rig, 0, 0, 8, VIRTIO_BLK_WRITE_ZEROES_UNMAP);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_UNSUPP);
	put_range(&rig, 0, 0, 8, 2);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_UNSUPP);
	put_range(&rig, 0, UINT64_MAX / 2, 8, 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_IOERR);
	put_range(&rig, 0, 0, UINT32_MAX, 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_IOERR);
	put_range(&rig, 0, 0, 0, 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 15), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 33 * 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_DISCARD, 0, 0), VIRTIO_BLK_S_IOERR);
	rig_close(&rig);
}

static void flush_only_where_there_is_a_cache(void **state)
{
	struct rig rig = {.features = 0};
	struct r3_blk_req *req;
	const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 4096), rig_seg(16, 1)};

	rig_open(&rig);
	assert_false(vub_features(&rig.serve->device) & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
	rig.provider.base.limits.features |= R3_BLOCK_VOLATILE_CACHE;
	assert_true(vub_features(&rig.serve->device) & VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH));
	rig_start(&rig, VIRTIO_FEATURE(VIRTIO_BLK_F_FLUSH), 1);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(rig.provider.submitted, 1);
	rig_close(&rig);

	/* 5.2.6.2: a driver without FLUSH believes what is written to be safe */
	rig = (struct rig){.features = 0};
	rig_open(&rig);
	rig.provider.base.limits.features |= R3_BLOCK_VOLATILE_CACHE;
	rig_start(&rig, 0, 1);
	rig.provider.done_in_kick = false;
	rig_header(&rig, 0, VIRTIO_BLK_T_OUT, 0);
	rig_push(&rig, 0, seg, 2, 1);
	req = rig_block_queue(&rig, 0)->req[0];
	assert_int_equal(req->flags, R3_BLK_FUA);
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	rig_close(&rig);
}

/* ---- requests at fault ---- */

static void requests_at_fault(void **state)
{
	const uint64_t end = (1 << 20) / 512;
	struct rig rig = {.features = 0};

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, end - 8, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(rig.provider.submitted, 1);
	/* beyond the end, by far, and by an overflow */
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, end - 7, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, end, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, UINT64_MAX, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, UINT64_C(1) << 55, 4096),
			 VIRTIO_BLK_S_IOERR);
	/* no whole sectors, no whole blocks, between two blocks */
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4095), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 1, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 0), VIRTIO_BLK_S_IOERR);
	/* types that there are not */
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_SECURE_ERASE, 0, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(rig_do(&rig, 0x80000000, 0, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(rig.provider.submitted, 1);
	/* what the device says */
	rig.provider.err = -EIO;
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_IOERR);
	rig.provider.err = -EOPNOTSUPP;
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_UNSUPP);
	rig.provider.submit_rc = -ENODEV;
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_IOERR);
	rig_close(&rig);
}

static void read_only(void **state)
{
	struct rig rig = {.features = 0};

	rig_open(&rig);
	rig.provider.base.limits.features |= R3_BLOCK_READ_ONLY;
	assert_true(vub_features(&rig.serve->device) & VIRTIO_FEATURE(VIRTIO_BLK_F_RO));
	rig_start(&rig, 0, 1);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* No status, no header: nobody can be told, and nothing is done; the next one is served. */
static void chains_that_are_no_requests(void **state)
{
	const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(0, 15), rig_seg(16, 1)};
	struct rig rig = {.features = 0};
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	rig_header(&rig, 0, VIRTIO_BLK_T_OUT, 0);
	rig_push(&rig, 1, seg, 1, 0); /* nothing to be written */
	assert_int_equal(rig_pop(&rig, &written), 1);
	rig_push(&rig, 2, seg + 1, 1, 1); /* a header too short */
	assert_int_equal(rig_pop(&rig, &written), 2);
	assert_int_equal(*(char *)rig_data(&rig, 16), VIRTIO_BLK_S_IOERR);
	rig_push(&rig, 3, seg + 2, 0, 1); /* a status alone */
	assert_int_equal(rig_pop(&rig, &written), 3);
	assert_int_equal(rig.provider.submitted, 0);
	assert_int_equal(rig_do(&rig, VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	rig_close(&rig);
}

/* More requests than the device takes at once, and a device that takes none for a time. */
static void more_than_fit(void **state)
{
	struct rig rig = {.features = 0};
	uint32_t written;

	rig_open(&rig);
	rig_start(&rig, 0, 1);
	rig.provider.done_in_kick = false;
	rig.provider.room = 1;
	rig_header(&rig, 0, VIRTIO_BLK_T_IN, 0);
	for (uint16_t i = 0; i < 5; i++) {
		const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 4096),
						 rig_seg(16u + i, 1)};

		rig_push(&rig, i, seg, 1, 2);
	}
	assert_int_equal(rig.provider.submitted, 5);
	rig.provider.submit_rc = -EAGAIN;
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	for (int i = 0; i < 5; i++)
		assert_int_equal(rig_pop(&rig, &written), i);
	{
		const struct r3_dma_seg seg[] = {rig_seg(0, 16), rig_seg(4096, 4096),
						 rig_seg(30, 1)};

		rig_push(&rig, 9, seg, 1, 2);
	}
	assert_int_equal(rig.provider.submitted, 5);
	rig.provider.submit_rc = 0;
	/* it tells by its descriptor that it takes some again */
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	assert_int_equal(rig.provider.submitted, 6);
	provider_complete(rig_block_queue(&rig, 0), 0);
	rig_pump(&rig);
	assert_int_equal(rig_pop(&rig, &written), 9);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_write_in_place),
		cmocka_unit_test(an_interrupt_that_is_full_is_not_waited_for),
		cmocka_unit_test(cut_as_the_driver_likes),
		cmocka_unit_test(longer_than_the_device_takes),
		cmocka_unit_test(identity),
		cmocka_unit_test(ranges),
		cmocka_unit_test(flush_only_where_there_is_a_cache),
		cmocka_unit_test(requests_at_fault),
		cmocka_unit_test(read_only),
		cmocka_unit_test(chains_that_are_no_requests),
		cmocka_unit_test(more_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

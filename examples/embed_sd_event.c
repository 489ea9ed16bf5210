/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same in somebody else's event loop, sd-event: embed_sd_event ADDRESS [BYTES [MODE]].
 * Such a loop sleeps when it likes. So the queue is armed at the end of each callback, and
 * where there is something already, a deferred source calls again before the next sleep.
 */
#include "embed_read.h"

#include <string.h>
#include <systemd/sd-event.h>

#define SECOND UINT64_C(1000000) /* in microseconds */

struct program {
	struct reading reading;
	sd_event *loop;
	sd_event_source *again;
};

static int step(sd_event_source *source, void *user)
{
	struct program *p = user;
	int rc = reading_step(&p->reading);

	if (rc < 0 || reading_is_done(&p->reading))
		return sd_event_exit(p->loop, rc);
	return sd_event_source_set_enabled(
		p->again, r3_blkq_arm(p->reading.queue) ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static int queue_is_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
	return step(source, user);
}

static int block_is_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
	reading_dispatch(&((struct program *)user)->reading);
	return 0;
}

static int second_is_over(sd_event_source *source, uint64_t now, void *user)
{
	reading_progress(&((struct program *)user)->reading);
	sd_event_source_set_time_relative(source, SECOND);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* The loop drops the sources without a name when it goes. */
static int set_up(struct program *p)
{
	struct reading *r = &p->reading;
	int rc = sd_event_new(&p->loop);

	if (rc >= 0) /* on at first, which starts it all */
		rc = sd_event_add_defer(p->loop, &p->again, step, p);
	if (rc >= 0)
		rc = sd_event_add_io(p->loop, NULL, r3_blkq_fd(r->queue), EPOLLIN, queue_is_ready,
				     p);
	if (rc >= 0 && r3_block_fd(r->block) >= 0) /* a file: has none */
		rc = sd_event_add_io(p->loop, NULL, r3_block_fd(r->block), EPOLLIN, block_is_ready,
				     p);
	if (rc >= 0)
		rc = sd_event_add_time_relative(p->loop, NULL, CLOCK_MONOTONIC, SECOND, 0,
						second_is_over, p);
	return rc < 0 ? r3_error_set(-rc, "sd-event: %s", strerror(-rc)) : 0;
}

int main(int argc, char **argv)
{
	struct program p = {.loop = NULL};
	int rc = reading_open(&p.reading, argc, argv);

	if (rc == 0)
		rc = set_up(&p);
	if (rc == 0)
		rc = sd_event_loop(p.loop);
	rc = reading_close(&p.reading, rc);
	sd_event_source_unref(p.again);
	sd_event_unref(p.loop);
	return rc;
}

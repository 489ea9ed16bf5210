/* SPDX-License-Identifier: BSD-2-Clause */
/* One loop over signals, the block's events, the end of the threads, and the clock. */
#include "watch.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <ring3/error.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS    R3_NSEC_PER_SEC        /* of the progress */
#define DRAIN_NS   (30 * R3_NSEC_PER_SEC) /* for what is in flight at the end */
#define ABANDON_NS (5 * R3_NSEC_PER_SEC)  /* for the threads to see that they are to end */
#define BEGIN_NS   R3_NSEC_PER_MSEC       /* until the threads are asked again whether they began */
#define EVENTS_MAX 16

enum stage {
	WARM_UP,
	MEASURE,
	DRAIN,
	ABANDON,
	NSTAGES,
};

struct watch {
	struct r3_block *block;
	struct load *load;
	const struct watch_opts *opts;
	struct watch_result *result;
	int signals; /* a signalfd */
	enum stage stage;
	uint64_t due;            /* when this stage is over */
	bool measures;           /* all threads do */
	bool shows;              /* somebody watches */
	uint64_t tick, tick_ios; /* when the progress was shown last, and what was done then */
};

static void stage_begin(struct watch *watch, enum stage stage, uint64_t now)
{
	const uint64_t last[NSTAGES] = {
		watch->opts->warmup_ns,
		watch->opts->time_ns,
		DRAIN_NS,
		ABANDON_NS,
	};

	watch->stage = stage;
	watch->due = now + last[stage];
	watch->tick = now;
	watch->tick_ios = 0;
	if (stage == MEASURE)
		load_measure(watch->load);
	else if (stage == DRAIN)
		load_stop(watch->load);
	else if (stage == ABANDON)
		load_abandon(watch->load);
}

/* The time counts from when the last thread measures. */
static void measure_begin(struct watch *watch, uint64_t now)
{
	watch->measures = load_measures(watch->load);
	watch->due = now + watch->opts->time_ns;
	watch->tick = now;
}

static void show(struct watch *watch, uint64_t now)
{
	uint64_t ios, errors;
	double rate;

	load_progress(watch->load, &ios, &errors);
	rate = (double)(ios - watch->tick_ios) * 1e9 / (double)(now - watch->tick);
	fprintf(stderr,
		"\r%s, %" PRIu64 " s left %10.1f kIOPS %10.1f MB/s %8" PRIu64 " errors\033[K",
		watch->stage == WARM_UP ? "warming up" : "measuring",
		(watch->due - now + R3_NSEC_PER_SEC / 2) / R3_NSEC_PER_SEC, rate / 1e3,
		rate * watch->opts->block_size / 1e6, errors);
	watch->tick = now;
	watch->tick_ios = ios;
}

/* Who asks once waits for the requests in flight. */
static void take_signals(struct watch *watch, uint64_t now)
{
	struct signalfd_siginfo info;

	while (read(watch->signals, &info, sizeof(info)) == sizeof(info)) {
		watch->result->interrupted |= watch->stage < DRAIN;
		stage_begin(watch, watch->stage < DRAIN ? DRAIN : ABANDON, now);
	}
}

static void serve(struct watch *watch)
{
	struct r3_block_event event[EVENTS_MAX];
	int n = r3_block_dispatch(watch->block, event, EVENTS_MAX);

	/* that it is gone, or broken, the requests tell */
	for (int i = 0; i < n; i++) {
		watch->result->resets += event[i].type == R3_BLOCK_EVENT_RESET;
		watch->result->resizes += event[i].type == R3_BLOCK_EVENT_GEOMETRY;
	}
}

static void doze(struct watch *watch, uint64_t now)
{
	struct pollfd fds[] = {{.fd = watch->signals, .events = POLLIN},
			       {.fd = load_fd(watch->load), .events = POLLIN},
			       {.fd = r3_block_fd(watch->block), .events = POLLIN}};
	uint64_t next = watch->due;
	struct timespec ts;

	if (watch->shows && watch->stage <= MEASURE && watch->tick + TICK_NS < next)
		next = watch->tick + TICK_NS;
	if (watch->stage == MEASURE && !watch->measures)
		next = now + BEGIN_NS;
	next = next > now ? next - now : 0;
	ts.tv_sec = (time_t)(next / R3_NSEC_PER_SEC);
	ts.tv_nsec = (long)(next % R3_NSEC_PER_SEC);
	if (ppoll(fds, 3, &ts, NULL) > 0 && fds[2].revents)
		serve(watch);
}

static int signals_open(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return r3_error_set(errno, "bench: signalfd: %s", strerror(errno));
	sigprocmask(SIG_BLOCK, &set, NULL);
	return fd;
}

int watch_load(struct r3_block *block, struct load *load, const struct watch_opts *opts,
	       struct watch_result *result)
{
	struct r3_clock *clock = r3_clock_system();
	struct watch watch = {.block = block,
			      .load = load,
			      .opts = opts,
			      .result = result,
			      .signals = signals_open(),
			      .shows = isatty(STDERR_FILENO)};
	int rc = watch.signals < 0 ? watch.signals : load_start(load);
	uint64_t now;

	*result = (struct watch_result){0};
	if (rc < 0)
		goto out;
	stage_begin(&watch, WARM_UP, r3_clock_now(clock));
	while (!load_ended(load)) {
		now = r3_clock_now(clock);
		take_signals(&watch, now);
		if (watch.stage == MEASURE && !watch.measures)
			measure_begin(&watch, now);
		if (now >= watch.due)
			stage_begin(&watch, watch.stage < ABANDON ? watch.stage + 1 : ABANDON, now);
		if (watch.shows && watch.stage <= MEASURE && now - watch.tick >= TICK_NS)
			show(&watch, now);
		doze(&watch, now);
	}
	if (watch.shows)
		fprintf(stderr, "\r\033[K");
out:
	if (watch.signals >= 0)
		close(watch.signals);
	return rc;
}

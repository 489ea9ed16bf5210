/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of a failure belongs to its thread; the log goes where it was asked to. */
#include "unit.h"

#include <ring3/error.h>
#include <ring3/log.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

static void text_is_kept(void **state)
{
	assert_string_equal(r3_error_text(), "");
	assert_int_equal(r3_error_set(EIO, "nvme0: %d errors", 3), -EIO);
	assert_string_equal(r3_error_text(), "nvme0: 3 errors");
	assert_int_equal(r3_error_prefix(-EPERM, "opening %s", "x"), -EPERM);
	assert_string_equal(r3_error_text(), "opening x: nvme0: 3 errors");
	assert_int_equal(r3_error_set(EIO, "again: %s", r3_error_text()), -EIO);
	assert_string_equal(r3_error_text(), "again: opening x: nvme0: 3 errors");
}

static void long_texts_are_cut(void **state)
{
	char text[2048];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	r3_error_set(EIO, "%s", text);
	assert_in_range(strlen(r3_error_text()), 400, 600);

	size_t cut = strlen(r3_error_text());
	r3_error_prefix(0, "head");
	assert_int_equal(strlen(r3_error_text()), cut);
	assert_memory_equal(r3_error_text(), "head: xxx", 9);
	r3_error_prefix(0, "%s", text);
	assert_int_equal(strlen(r3_error_text()), cut);
}

static void *other_thread(void *arg)
{
	bool *empty = arg;

	*empty = r3_error_text()[0] == '\0';
	r3_error_set(EIO, "theirs");
	return NULL;
}

static void threads_have_their_own(void **state)
{
	pthread_t thread;
	bool empty = false;

	r3_error_set(EIO, "ours");
	assert_int_equal(pthread_create(&thread, NULL, other_thread, &empty), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(empty);
	assert_string_equal(r3_error_text(), "ours");
}

struct heard {
	unsigned count;
	enum r3_log_level level;
	char text[64];
};

static void hear(void *ctx, enum r3_log_level level, const char *text)
{
	struct heard *heard = ctx;

	heard->count++;
	heard->level = level;
	snprintf(heard->text, sizeof(heard->text), "%s", text);
}

static void log_is_heard_from_its_level_on(void **state)
{
	struct heard heard = {0};

	r3_log(R3_LOG_ERROR, "to nobody");
	r3_log_sink(R3_LOG_WARN, hear, &heard);
	r3_log(R3_LOG_INFO, "too quiet");
	assert_int_equal(heard.count, 0);
	r3_log(R3_LOG_WARN, "queue %u", 3);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.level, R3_LOG_WARN);
	assert_string_equal(heard.text, "queue 3");
	r3_log(R3_LOG_ERROR, "!");
	assert_int_equal(heard.count, 2);
	r3_log(R3_LOG_NONE, "not a level to speak at");
	r3_log_sink(R3_LOG_DEBUG, NULL, NULL);
	r3_log(R3_LOG_ERROR, "to nobody again");
	assert_int_equal(heard.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_kept),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(threads_have_their_own),
		cmocka_unit_test(log_is_heard_from_its_level_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

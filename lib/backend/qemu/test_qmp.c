/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP against a QEMU that has said all it will say before it is asked. */
#include "backend/qemu/qmp.h"
#include "unit.h"
#include <ring3/error.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define EVENT    "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"dev0\"}}\r\n"

static struct r3_qmp *qmp;
static int qemu;
static unsigned events;

static void on_event(void *ctx, const char *event, struct json_object *data)
{
	struct json_object *device;

	assert_string_equal(event, "DEVICE_DELETED");
	assert_true(json_object_object_get_ex(data, "device", &device));
	events++;
}

static int open_with(const char *text)
{
	int pair[2], rc;

	events = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	qemu = pair[1];
	assert_int_equal(write(qemu, text, strlen(text)), strlen(text));
	rc = r3_qmp_open(pair[0], 50, on_event, NULL, &qmp);
	if (rc < 0) {
		qmp = NULL;
		close(pair[0]);
	}
	return rc;
}

static void finish(void)
{
	r3_qmp_close(qmp);
	close(qemu);
}

static void say(const char *text)
{
	assert_int_equal(write(qemu, text, strlen(text)), strlen(text));
}

static void events_come_with_replies_and_without(void **state)
{
	struct json_object *reply;

	assert_int_equal(open_with(GREETING EVENT "{\"return\": {}, \"id\": 1}\r\n"), 0);
	assert_int_equal(events, 1);
	say(EVENT EVENT "{\"return\": {\"n\": 7}, \"id\": 2}\r\n" EVENT);
	assert_int_equal(r3_qmp_execute(qmp, "query", json_object_new_object(), &reply), 0);
	assert_string_equal(json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN),
			    "{\"n\":7}");
	json_object_put(reply);
	assert_int_equal(events, 3);
	assert_int_equal(r3_qmp_drain(qmp), 0);
	assert_int_equal(events, 4);
	finish();
}

static void a_refusal_says_why(void **state)
{
	assert_int_equal(open_with(GREETING "{\"return\": {}, \"id\": 1}\r\n"), 0);
	say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": "
	    "2}\r\n");
	assert_int_equal(r3_qmp_execute(qmp, "device_del", NULL, NULL), -EIO);
	assert_non_null(strstr(r3_error_text(), "device_del: no such thing"));
	finish();
}

static void a_late_reply_is_not_the_next_ones(void **state)
{
	assert_int_equal(open_with(GREETING "{\"return\": {}, \"id\": 1}\r\n"), 0);
	say("{\"return\": {}, \"id\": 1}\r\n{\"return\": {}}\r\n");
	assert_int_equal(r3_qmp_execute(qmp, "stop", NULL, NULL), -ETIMEDOUT);
	assert_int_equal(r3_qmp_execute(qmp, "stop", NULL, NULL), -ENODEV);
	finish();
}

static void nonsense_is_refused(void **state)
{
	static const char *const nonsense[] = {"hello\n",
					       "[]\n",
					       "{}\n",
					       "{\"QMP\": \n",
					       "\n",
					       GREETING "{\"error\": 3, \"id\": 1}\n",
					       GREETING "{\"return\": {}, \"id\": 1\n"};

	for (unsigned i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		assert_true(open_with(nonsense[i]) < 0);
		finish();
	}
}

static void the_end_and_silence_are_bounded(void **state)
{
	assert_int_equal(open_with(GREETING), -ETIMEDOUT);
	finish();
	assert_int_equal(open_with(GREETING "{\"return\": {}, \"id\": 1}\r\n"), 0);
	shutdown(qemu, SHUT_RDWR);
	assert_int_equal(r3_qmp_drain(qmp), -ENODEV);
	assert_int_equal(r3_qmp_execute(qmp, "stop", NULL, NULL), -ENODEV);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_with_replies_and_without),
		cmocka_unit_test(a_refusal_says_why),
		cmocka_unit_test(a_late_reply_is_not_the_next_ones),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(the_end_and_silence_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * answer_test.c
 *		What is kept of an answer, whatever a receiver sends.
 */
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "tap.h"

#define BODY_SIZE 10

static unsigned char body[BODY_SIZE];
static Answer answer = {.body = body, .body_size = BODY_SIZE};

static bool
add(const char *line)
{
	return wh_answer_add_head(&answer, line, strlen(line));
}

static bool
head_is(const char *expected)
{
	return answer.head_length == strlen(expected) &&
		memcmp(answer.head, expected, strlen(expected)) == 0;
}

static void
headers_are_kept_as_received(void)
{
	wh_answer_clear(&answer);
	check(add("HTTP/1.1 200 OK\r\n") && add("A: b\r\n") && add("\r\n"),
		  "an ordinary head is read");
	check(head_is("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), "and kept");
	check(add("Trailer: x\r\n") &&
		  head_is("HTTP/1.1 200 OK\r\nA: b\r\n\r\nTrailer: x\r\n"),
		  "with its trailers");
	check(add("HTTP/") && head_is("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
								  "Trailer: x\r\nHTTP/"),
		  "what only begins like a status line begins nothing");
}

static void
interim_answers_are_replaced(void)
{
	wh_answer_clear(&answer);
	check(add("HTTP/1.1 103 Early Hints\r\n") && add("Link: x\r\n") &&
		  add("\r\n") && add("HTTP/1.1 204 No Content\r\n"),
		  "an interim answer is read");
	check(head_is("HTTP/1.1 204 No Content\r\n"), "and replaced by the final one");
	check(answer.head_received > answer.head_length, "but its bytes count");
}

static void
other_protocols_end_it(void)
{
	wh_answer_clear(&answer);
	check(!add("HTTP/1.1 101 Switching Protocols\r\n") &&
		  answer.fault == ANSWER_SWITCHES_PROTOCOL, "101 ends it");
	wh_answer_clear(&answer);
	check(add("HTTP/1.1 1010\r\n") == false || answer.fault == ANSWER_FINE,
		  "a status is three digits");
	wh_answer_clear(&answer);
	check(add("HTTP/1.1 10"), "a short status line is no fault of ours");
}

static void
long_heads_are_cut(void)
{
	static char line[WH_ANSWER_HEAD_SIZE];
	const char *end;

	memset(line, 'x', sizeof(line));
	wh_answer_clear(&answer);
	check(add("HTTP/1.1 200 OK\r\n") &&
		  wh_answer_add_head(&answer, line, sizeof(line)),
		  "more than is kept may come");
	end = answer.head + answer.head_length - strlen(WH_ANSWER_CUT);
	check(answer.head_length == WH_ANSWER_HEAD_SIZE + strlen(WH_ANSWER_CUT) &&
		  memcmp(end, WH_ANSWER_CUT, strlen(WH_ANSWER_CUT)) == 0,
		  "what is cut says so");
	check(add("B: c\r\n") && answer.head + answer.head_length - end ==
		  (ptrdiff_t) strlen(WH_ANSWER_CUT), "and nothing follows");
	check(add("HTTP/1.1 200 OK\r\n") && head_is("HTTP/1.1 200 OK\r\n"),
		  "until another answer begins");

	wh_answer_clear(&answer);
	check(wh_answer_add_head(&answer, line, WH_ANSWER_HEAD_SIZE) &&
		  !answer.is_head_cut, "as much as is kept is not cut");
	check(wh_answer_add_head(&answer, line, 0) && !answer.is_head_cut,
		  "nor by nothing");
}

static void
floods_end_it(void)
{
	int			lines = 0;

	wh_answer_clear(&answer);
	while (add("HTTP/1.1 100 Continue\r\n") && lines < 1000000)
		lines++;
	check(answer.fault == ANSWER_TOO_MANY_HEADERS &&
		  lines == (int) (WH_ANSWER_HEAD_LIMIT / strlen("HTTP/1.1 100 Continue\r\n")),
		  "interim answers without end are not read to the end");
}

static void
bodies_are_cut(void)
{
	wh_answer_clear(&answer);
	check(wh_answer_add_body(&answer, "12345", 5) &&
		  wh_answer_add_body(&answer, "67890", 5) && !answer.is_body_cut,
		  "a body of just the limit is whole");
	check(wh_answer_add_body(&answer, NULL, 0) && !answer.is_body_cut,
		  "also when nothing follows");
	check(!wh_answer_add_body(&answer, "x", 1) && answer.is_body_cut &&
		  answer.body_length == BODY_SIZE, "one byte more is cut, and said so");
	wh_answer_clear(&answer);
	check(!wh_answer_add_body(&answer, "1234567890abc", 13) &&
		  memcmp(body, "1234567890", BODY_SIZE) == 0,
		  "a piece that is too long is kept up to the limit");
}

int
main(void)
{
	headers_are_kept_as_received();
	interim_answers_are_replaced();
	other_protocols_end_it();
	long_heads_are_cut();
	floods_end_it();
	bodies_are_cut();
	printf("1..%d\n", tests);
	return failures > 0;
}

/*
 * answer.h
 *		What a receiver answers, as far as it is kept.
 *
 * In a delivery's life: libcurl hands over header lines and pieces of the body
 * as they arrive, and this puts them into memory that stands ready, up to
 * limits that no receiver can talk us out of.
 *
 * Needs no transaction and takes no lock: libc only, no PostgreSQL header, so
 * that it may run inside a libcurl callback and under a fuzzer.
 */
#ifndef WH_ANSWER_H
#define WH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#define WH_ANSWER_HEAD_SIZE 8192	/* bytes of headers that are kept */
#define WH_ANSWER_HEAD_LIMIT 65536	/* bytes of headers that are read */

/* Stands after headers that were cut */
#define WH_ANSWER_CUT "\r\n[cut]\r\n"

typedef enum AnswerFault
{
	ANSWER_FINE,
	ANSWER_TOO_MANY_HEADERS,
	ANSWER_SWITCHES_PROTOCOL	/* 101: what follows is not HTTP */
} AnswerFault;

typedef struct Answer
{
	size_t		head_length;
	size_t		head_received;	/* bytes, interim answers and trailers too */
	bool		is_head_cut;
	unsigned char *body;		/* body_size bytes, the caller's */
	size_t		body_size;
	size_t		body_length;
	bool		is_body_cut;
	AnswerFault fault;

	/* Last: its end is seldom touched, and takes no memory until it is. */
	char		head[WH_ANSWER_HEAD_SIZE + sizeof(WH_ANSWER_CUT)];
} Answer;

/* Forget what has been received. */
extern void wh_answer_clear(Answer *answer);

/*
 * Add a header line, with its end; a status line begins anew, because what
 * came before was an interim answer.  False: do not go on.
 */
extern bool wh_answer_add_head(Answer *answer, const char *line,
							   size_t length);

/* Add a piece of the body.  False: there is more than is kept, do not go on. */
extern bool wh_answer_add_body(Answer *answer, const void *bytes,
							   size_t length);

#endif							/* WH_ANSWER_H */

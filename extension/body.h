/*
 * body.h
 *		Request bodies in a worker's memory: shared, counted, limited.
 */
#ifndef WH_BODY_H
#define WH_BODY_H

/* A request body in UTF-8, shared by the deliveries of one event. */
typedef struct Body
{
	int			references;
	const char *obstacle;		/* why it has no bytes; NULL: it has */
	int			length;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} Body;

/* A body with these bytes of the database's encoding, referenced by nobody. */
extern Body *wh_body_create(text *payload);

/*
 * Whether one more body may be created.  A no is remembered, and the next
 * large body that is released ends the wait.
 */
extern bool wh_body_has_room(text *payload);

/* One reference less; true: there may be room for who was told no. */
extern bool wh_body_release(Body *body);

#endif							/* WH_BODY_H */

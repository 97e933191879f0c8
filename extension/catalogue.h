/*
 * catalogue.h
 *		Look-ups in our own configuration tables, without SQL text.
 */
#ifndef WH_CATALOGUE_H
#define WH_CATALOGUE_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* Oid of a table of schema webhook; 42P01 when the extension is missing. */
extern Oid	wh_catalogue_table(const char *name);

/* The same, locked and opened. */
extern Relation wh_catalogue_open(const char *name, LOCKMODE mode);

/* 55000 when somebody has changed what columns a table has. */
extern void wh_catalogue_check_columns(Relation table, int columns);

/* 22023, with the nearest name as a hint, for an unknown event type. */
extern void wh_catalogue_check_event_type(text *name);

/* Name of an organization, in the current context; 23503 when unknown. */
extern char *wh_catalogue_organization_name(text *id);

/* What wh_owner_enter replaced, to be restored by wh_owner_leave. */
typedef struct OwnerScope
{
	Oid			user;
	int			security;
	int			nest_level;
} OwnerScope;

/*
 * Run SQL as the owner of our objects, inside a security-restricted operation
 * and under a pinned search_path.  An error restores by itself.
 */
extern void wh_owner_enter(OwnerScope *scope);
extern void wh_owner_leave(const OwnerScope *scope);

/* Owner of our objects; an error unless it is an ordinary role.  Takes no lock. */
extern Oid	wh_owner_role(void);

/* Run one SQL command without result as the owner. */
extern void wh_owner_execute(const char *command);

#endif							/* WH_CATALOGUE_H */

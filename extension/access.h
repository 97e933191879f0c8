/*
 * access.h
 *		Which organizations a role may act for: webhook.access, in memory.
 *
 * Asked for each event that is emitted: it costs a comparison unless the role
 * is bound to an organization.
 */
#ifndef WH_ACCESS_H
#define WH_ACCESS_H

/* Error 42501 unless the current user may act for an organization. */
extern void wh_access_check(text *organization);

/*
 * The same for a change of a watched table: neither who makes it nor who owns
 * the table may be bound to another organization.  Neither needs a grant.
 */
extern void wh_access_check_watch(text *organization, Oid owner);

/*
 * Does this session restore a dump, as pg_dump and pg_restore set it up, and
 * may it?  Rows come in any order then, and are as they were.
 */
extern bool wh_access_is_restoring(void);

#endif							/* WH_ACCESS_H */

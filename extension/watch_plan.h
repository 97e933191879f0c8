/*
 * watch_plan.h
 *		A watch as its trigger describes it: expressions, ready to be run.
 *
 * The arguments of the trigger are: event, organization expression, data
 * expression ('' or absent: the row), and any of the options "condition=",
 * "search_path=", "of=" and "name=".  Expressions refer to the row as new and
 * old.
 */
#ifndef WH_WATCH_PLAN_H
#define WH_WATCH_PLAN_H

#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/rel.h"

typedef enum ExpressionRole
{
	WATCH_ORGANIZATION, WATCH_DATA, WATCH_CONDITION, WATCH_EXPRESSIONS
} ExpressionRole;

/* Parameter numbers of the two rows in every expression. */
#define WATCH_PARAM_NEW 1
#define WATCH_PARAM_OLD 2

typedef struct Watch Watch;

typedef struct WatchExpression
{
	Watch	   *watch;
	ExpressionRole role;
	char	   *source;			/* SQL; NULL: there is none */
	Oid			type;			/* of its value */
	Expr	   *simple;			/* needs no plan, or NULL */
	SPIPlanPtr	plan;			/* NULL when simple */
} WatchExpression;

struct Watch
{
	MemoryContext context;		/* holds all of this */
	char	   *name;			/* of the trigger */
	char	   *table;			/* qualified, for messages */
	Oid			relid;
	Oid			row_type;
	char	   *event;
	char	   *search_path;	/* under which expressions are parsed and run */
	WatchExpression expressions[WATCH_EXPRESSIONS];
	Expr	  **computed;		/* by column, what no tuple holds; or NULL */
	bool		needs_plans;	/* some expression is not simple */
	bool		needs_path;		/* some expression may depend on it */
	bool		names_types;	/* some expression names a user's type */
	bool		is_stale;		/* what it depends on changed since */
	bool		is_replaced;	/* the cache has forgotten it */
	int			uses;			/* calls that are running it */
};

/*
 * The watch of a trigger, prepared for the current user; from the cache when
 * it is there.  Every acquire needs its release, after an error as well.
 */
extern Watch *wh_watch_acquire(Relation rel, const Trigger *trigger);
extern void wh_watch_release(Watch *watch);

/* A watch of these trigger arguments in a context of its own; unprepared. */
extern Watch *wh_watch_describe(Relation rel, const char *name, int nargs,
								char **args);

/*
 * Parse its expressions under its search_path; leaves plans that die with the
 * caller's SPI connection.  Errors as the server's for wrong SQL, and 42804.
 */
extern void wh_watch_parse(Watch *watch);

/* An expression with a plan, as it was parsed, and the one value it selects. */
extern const Query *wh_watch_query(const WatchExpression *expression);
extern Expr *wh_watch_value(const WatchExpression *expression);

/*
 * Whether an expression with a plan can be run without: no query in it, and
 * only the server's own functions, since others may be replaced.
 */
extern bool wh_watch_is_simple(const WatchExpression *expression);

/*
 * Whether a simple one may look names up when it is run, or show an object's
 * name as the search_path has it; columns of the table aside.
 */
extern bool wh_watch_needs_path(const WatchExpression *expression);

/*
 * Whether values of a type are oids that are shown as names, as the
 * search_path has them, or a row or an array of such.
 */
extern bool wh_watch_type_holds_names(Oid type);

/*
 * Whether one with a plan names a type of users, or reads the inside of one.
 * To hand on a row or a column of the table is neither.
 */
extern bool wh_watch_names_type(const WatchExpression *expression);

/*
 * Note the type of an expression's values, when it was parsed and whenever its
 * plan was made anew since: what it reads may have changed.  42804 unless its
 * role takes that type.
 */
extern void wh_watch_set_type(WatchExpression *expression, Oid type);

/*
 * Raise an error unless a trigger of this type, a bit mask as pg_trigger.tgtype,
 * sees the rows that change and what finally becomes of them: 0A000 for
 * TRUNCATE, else 39P01.  has_table: it has a transition table.
 */
extern void wh_watch_check_type(const char *trigger, int16 type,
								bool has_table);

/* search_path for parsing or running; AtEOXact_GUC(true, level) ends it. */
extern int	wh_watch_enter_path(const Watch *watch);

/* What it is called in messages: "data expression". */
extern const char *wh_watch_role_name(ExpressionRole role);

#endif							/* WH_WATCH_PLAN_H */
